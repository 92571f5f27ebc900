# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops of `photdb.algorithms.stacking`, compiled: frames resampled into another's pixels, and means of stacks.

`stack_kernels.pyi` says what each takes and gives; what they mean stands where they are called.
"""

from libc.math cimport INFINITY, NAN, floor

import numpy as np


def resample(const float[:, ::1] rows, Py_ssize_t first_row, double a, double b, double x0, double y0, double scale,
             float[:, ::1] out):
    cdef Py_ssize_t height = rows.shape[0], width = rows.shape[1], i, j, ix, iy
    cdef double x, y, fx, fy, value
    with nogil:
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                x = x0 + a * j - b * i
                y = y0 + b * j + a * i - first_row
                ix, iy = <Py_ssize_t>floor(x), <Py_ssize_t>floor(y)
                if not (0 <= ix < width - 1 and 0 <= iy < height - 1):
                    out[i, j] = NAN
                    continue
                fx, fy = x - ix, y - iy
                value = (1.0 - fy) * ((1.0 - fx) * rows[iy, ix] + fx * rows[iy, ix + 1])
                value += fy * ((1.0 - fx) * rows[iy + 1, ix] + fx * rows[iy + 1, ix + 1])
                out[i, j] = value * scale


cdef enum:
    BLOCK = 256  # pixels that are sorted at once


cdef void sort_pixels(const float[:, :, ::1] stack, Py_ssize_t i, Py_ssize_t j, Py_ssize_t width,
                      float *values, Py_ssize_t *counts) noexcept nogil:
    """Sort the values of `width` pixels of row `i` from `j` on, NaN last as infinity; count the others of each.

    All pixels go through the same comparisons, Batcher's odd-even merging network (Knuth, The Art of Computer
    Programming 3, section 5.2.2, algorithm M), so that processors take several at once.
    """
    cdef Py_ssize_t n = stack.shape[0], p = 1, q, first, k, c
    cdef float v
    cdef float *low
    cdef float *high
    for c in range(width):
        counts[c] = 0
    for k in range(n):
        for c in range(width):
            v = stack[k, i, j + c]
            counts[c] += v == v
            values[k * BLOCK + c] = v if v == v else <float>INFINITY
    while p < n:
        q = p
        while q >= 1:
            first = q % p
            while first < n - q:
                for k in range(first, min(first + q, n - q)):
                    if k // (2 * p) != (k + q) // (2 * p):
                        continue
                    low, high = values + k * BLOCK, values + (k + q) * BLOCK
                    for c in range(BLOCK):
                        v = low[c]
                        low[c] = high[c] if high[c] < v else v
                        high[c] = v if high[c] < v else high[c]
                first += 2 * q
            q //= 2
        p *= 2


cdef inline double value_at(const float *values, Py_ssize_t k) noexcept nogil:
    return values[k * BLOCK]


def clipped_mean(const float[:, :, ::1] stack, Py_ssize_t least, double sigmas):
    cdef Py_ssize_t i, j, block, wide, c, k, n, used, height = stack.shape[1], width = stack.shape[2]
    cdef double centre, reach, total, v
    mean, count = np.empty((height, width), np.float32), np.empty((height, width), np.int16)
    cdef float[:, ::1] mean_ = mean
    cdef short[:, ::1] count_ = count
    cdef float[::1] buffer = np.zeros((stack.shape[0] + 1) * BLOCK, np.float32)
    cdef float *values
    cdef Py_ssize_t counts[BLOCK]
    with nogil:
        for i in range(height):
            for block in range((width + BLOCK - 1) // BLOCK):
                j = block * BLOCK
                wide = BLOCK if width - j > BLOCK else width - j
                sort_pixels(stack, i, j, wide, &buffer[0], counts)
                for c in range(wide):
                    n, values = counts[c], &buffer[c]
                    if n < least:
                        mean_[i, j + c], count_[i, j + c] = NAN, 0
                        continue
                    centre = 0.5 * (value_at(values, (n - 1) // 2) + value_at(values, n // 2))
                    # half the middle 68 %; of few values their whole spread says as much
                    k = <Py_ssize_t>(0.1587 * n)
                    reach = sigmas * 0.5 * (value_at(values, n - 1 - k) - value_at(values, k))
                    total, used = 0.0, 0
                    for k in range(n):
                        v = value_at(values, k)
                        if centre - reach <= v <= centre + reach:
                            total += v
                            used += 1
                    mean_[i, j + c], count_[i, j + c] = total / used if used else centre, used
    return mean, count


def quantiles(const float[:, :, ::1] stack, Py_ssize_t least, const double[::1] parts):
    cdef Py_ssize_t i, j, block, wide, c, k, n, low, height = stack.shape[1], width = stack.shape[2]
    cdef double place, v
    out = np.empty((parts.shape[0], height, width), np.float32)
    cdef float[:, :, ::1] out_ = out
    cdef float[::1] buffer = np.zeros((stack.shape[0] + 1) * BLOCK, np.float32)
    cdef float *values
    cdef Py_ssize_t counts[BLOCK]
    with nogil:
        for i in range(height):
            for block in range((width + BLOCK - 1) // BLOCK):
                j = block * BLOCK
                wide = BLOCK if width - j > BLOCK else width - j
                sort_pixels(stack, i, j, wide, &buffer[0], counts)
                for c in range(wide):
                    n, values = counts[c], &buffer[c]
                    for k in range(parts.shape[0]):
                        if n < least:
                            out_[k, i, j + c] = NAN
                            continue
                        place = parts[k] * (n - 1)
                        low = <Py_ssize_t>place
                        v = value_at(values, low)
                        out_[k, i, j + c] = v + (place - low) * (value_at(values, min(low + 1, n - 1)) - v)
    return out
