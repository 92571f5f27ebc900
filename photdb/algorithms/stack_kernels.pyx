# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops of `photdb.algorithms.stacking`, compiled: frames resampled into another's pixels, and means of stacks.

`stack_kernels.pyi` says what each takes and gives; what they mean stands where they are called.
"""

from libc.math cimport NAN, floor

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


cdef inline Py_ssize_t sorted_values(const float[:, :, ::1] stack, Py_ssize_t i, Py_ssize_t j,
                                     double *values) noexcept nogil:
    """Put the finite values of a pixel in ascending order; give how many there are."""
    cdef Py_ssize_t k, m, n = 0
    cdef double v
    for k in range(stack.shape[0]):
        v = stack[k, i, j]
        if v != v:
            continue
        m = n
        while m > 0 and values[m - 1] > v:
            values[m] = values[m - 1]
            m -= 1
        values[m] = v
        n += 1
    return n


cdef inline double middle(const double *values, Py_ssize_t n) noexcept nogil:
    return 0.5 * (values[(n - 1) // 2] + values[n // 2])


def clipped_mean(const float[:, :, ::1] stack, Py_ssize_t least, double sigmas):
    cdef Py_ssize_t i, j, k, n, used, height = stack.shape[1], width = stack.shape[2]
    cdef double centre, reach, total
    mean, count = np.empty((height, width), np.float32), np.empty((height, width), np.int16)
    cdef float[:, ::1] mean_ = mean
    cdef short[:, ::1] count_ = count
    cdef double[::1] buffer = np.empty(stack.shape[0] + 1)
    cdef double *values = &buffer[0]
    with nogil:
        for i in range(height):
            for j in range(width):
                n = sorted_values(stack, i, j, values)
                if n < least:
                    mean_[i, j], count_[i, j] = NAN, 0
                    continue
                centre = middle(values, n)
                # half the middle 68 %; of few values their whole spread says as much
                reach = sigmas * 0.5 * (values[n - 1 - <Py_ssize_t>(0.1587 * n)] - values[<Py_ssize_t>(0.1587 * n)])
                total, used = 0.0, 0
                for k in range(n):
                    if centre - reach <= values[k] <= centre + reach:
                        total += values[k]
                        used += 1
                mean_[i, j], count_[i, j] = total / used if used else centre, used
    return mean, count


def quantiles(const float[:, :, ::1] stack, Py_ssize_t least, const double[::1] parts):
    cdef Py_ssize_t i, j, k, n, low, height = stack.shape[1], width = stack.shape[2]
    cdef double place
    out = np.empty((parts.shape[0], height, width), np.float32)
    cdef float[:, :, ::1] out_ = out
    cdef double[::1] buffer = np.empty(stack.shape[0] + 1)
    cdef double *values = &buffer[0]
    with nogil:
        for i in range(height):
            for j in range(width):
                n = sorted_values(stack, i, j, values)
                if n:
                    values[n] = values[n - 1]
                for k in range(parts.shape[0]):
                    if n < least:
                        out_[k, i, j] = NAN
                        continue
                    place = parts[k] * (n - 1)
                    low = <Py_ssize_t>place
                    out_[k, i, j] = values[low] + (place - low) * (values[low + 1] - values[low])
    return out
