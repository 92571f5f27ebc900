# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops of `photdb.algorithms.centroid`, compiled: local maxima, and the boxes around them.

`centroid_kernels.pyi` says what each takes and gives; what they mean stands where they are called. Each stamp is worked
on by itself: its bits do not depend on its company.
"""

from libc.math cimport INFINITY, NAN, fabs, isnan, rint
from libc.stdint cimport int64_t, uint8_t

import numpy as np

ctypedef fused real:
    float
    double

cdef Py_ssize_t nearest(double position) noexcept nogil:
    """Round a position, however far outside, to a pixel."""
    return <Py_ssize_t>rint(min(max(position, -1e6), 1e6))


cdef void cut_box(const real *stamp, Py_ssize_t height, Py_ssize_t width, Py_ssize_t x_first, Py_ssize_t y_first,
                  Py_ssize_t size, double *box) noexcept nogil:
    """Cut a square; NaN outside the stamp."""
    cdef Py_ssize_t x, y
    if x_first < 0 or y_first < 0 or x_first + size > width or y_first + size > height:
        for x in range(size * size):
            box[x] = NAN
    for y in range(max(y_first, 0), min(y_first + size, height)):
        for x in range(max(x_first, 0), min(x_first + size, width)):
            box[(y - y_first) * size + x - x_first] = stamp[y * width + x]


cdef const double *filled(const double *box, Py_ssize_t n, double *other) noexcept nogil:
    """Give a box if it has no NaN, else another with its lowest pixel there: no maximum is found there."""
    cdef Py_ssize_t i, n_bad = 0
    cdef double lowest = INFINITY
    for i in range(n):
        n_bad += box[i] != box[i]
    if n_bad == 0:
        return box
    for i in range(n):
        lowest = lower(box[i], lowest)
    for i in range(n):
        other[i] = box[i] if box[i] == box[i] else lowest
    return other


cdef double lower(double a, double b) noexcept nogil:
    return a if a < b else b


cdef double upper(double a, double b) noexcept nogil:
    return a if a > b else b


cdef double middle(double a, double b, double c) noexcept nogil:
    return upper(lower(a, b), lower(upper(a, b), c))


cdef void median9(const double *box, Py_ssize_t size, double *columns, double *smooth) noexcept nogil:
    """Take the median of every 3 × 3 pixels, (size − 2)² of them: sort columns of three, then merge three."""
    cdef Py_ssize_t x, y
    cdef double *low = columns
    cdef double *mid = columns + size
    cdef double *high = columns + 2 * size
    cdef const double *a
    cdef double least, most
    for y in range(size - 2):
        a = box + y * size
        for x in range(size):
            least, most = lower(a[x], a[x + size]), upper(a[x], a[x + size])
            mid[x] = upper(least, lower(most, a[x + 2 * size]))
            low[x] = lower(least, a[x + 2 * size])
            high[x] = upper(most, a[x + 2 * size])
        for x in range(size - 2):
            smooth[y * (size - 2) + x] = middle(
                upper(upper(low[x], low[x + 1]), low[x + 2]),
                middle(mid[x], mid[x + 1], mid[x + 2]),
                lower(lower(high[x], high[x + 1]), high[x + 2]),
            )


def brightest(const real[:, :, ::1] stamps, const int64_t[::1] items, const double[::1] x, const double[::1] y,
              const double[::1] reach, Py_ssize_t search):
    cdef Py_ssize_t n = items.shape[0], size = 2 * search + 1, wide = size + 2, i, j, k, x_first, y_first
    cdef double distance2, limit2, best, best_distance2, value, dx, dy
    cdef bint near, best_near
    cdef const double *around
    x_out, y_out, found_out = np.empty(n, np.int64), np.empty(n, np.int64), np.zeros(n, np.bool_)
    cdef int64_t[::1] x_peak = x_out, y_peak = y_out
    cdef uint8_t[::1] found = found_out.view(np.uint8)
    cdef Py_ssize_t n_box = (size + 4) * (size + 4)
    cdef double[::1] buffer = np.empty(4 * n_box + 3 * (size + 4))
    cdef double *box = &buffer[0]
    cdef double *other = box + n_box
    cdef double *smooth = other + n_box
    cdef double *across = smooth + n_box
    cdef double *columns = across + n_box
    with nogil:
        for i in range(n):
            x_first, y_first = nearest(x[i]) - search, nearest(y[i]) - search
            x_peak[i], y_peak[i] = x_first, y_first
            cut_box(&stamps[items[i], 0, 0], stamps.shape[1], stamps.shape[2], x_first - 2, y_first - 2, size + 4, box)
            median9(filled(box, n_box, other), size + 4, columns, smooth)
            for j in range(wide * wide - 2):
                across[j] = upper(upper(smooth[j], smooth[j + 1]), smooth[j + 2])
            limit2 = (reach[i] + 0.75) * (reach[i] + 0.75)  # the pixel nearest to it is at most 0.71 px farther
            best_near, best, best_distance2 = False, -INFINITY, INFINITY
            for j in range(size):
                for k in range(size):
                    value = smooth[(j + 1) * wide + k + 1]
                    around = &across[j * wide + k]
                    if value < upper(upper(around[0], around[wide]), around[2 * wide]) or value == INFINITY:
                        continue
                    dx, dy = x_first + k - x[i], y_first + j - y[i]
                    distance2 = dx * dx + dy * dy
                    near = distance2 <= limit2
                    if near < best_near:
                        continue
                    # Plateaus of equal values (integers, saturation): the nearest pixel, then the first.
                    if near > best_near or value > best or (value == best and distance2 < best_distance2):
                        best_near, best, best_distance2 = near, value, distance2
                        x_peak[i], y_peak[i], found[i] = x_first + k, y_first + j, True
    return x_out, y_out, found_out


cdef double noise_of(const double *box, const double *full, const double *smooth, Py_ssize_t size,
                     double *excess) noexcept nogil:
    """Give a box's pixels less the medians of their neighbourhoods, and the usual size of that.

    The box is two pixels wider than the medians; `full` has something in place of its missing pixels. Beside those, a
    median means little: 0 there.
    """
    cdef Py_ssize_t x, y, dx, dy, wide = size + 2, n = size * size
    cdef double usual = 0.0, capped = 0.0
    cdef const double *p
    for y in range(size):
        for x in range(size):
            excess[y * size + x] = full[(y + 1) * wide + x + 1] - smooth[y * size + x]
    if full != box:
        for y in range(size):
            for x in range(size):
                for dy in range(3):
                    for dx in range(3):
                        if isnan(box[(y + dy) * wide + x + dx]):
                            excess[y * size + x] = 0.0
    for x in range(n):
        usual += fabs(excess[x])
    usual /= n
    for x in range(n):  # a mean with large ones cut down, as a median of integers may be 0
        capped += min(fabs(excess[x]), 2.0 * usual)
    return capped / n


cdef double vertex(double a, double b, double c) noexcept nogil:
    """Give the vertex of the parabola through three values at −1, 0, 1, at most 0.7 from 0."""
    return min(max(0.5 * (c - a) / max(2.0 * b - a - c, 1e-30), -0.7), 0.7)


def boxes_around(const real[:, :, ::1] stamps, const int64_t[::1] items, const int64_t[::1] x_peak,
                 const int64_t[::1] y_peak, Py_ssize_t radius, const double[::1] steepest, double saturation):
    cdef Py_ssize_t n = items.shape[0], size = 2 * radius + 1, wide = size + 2, i, j, k
    boxes_out, usable_out = np.empty((n, size, size)), np.empty((n, size, size))
    x_out, y_out, height_out, noise_out = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    cdef double[:, :, ::1] boxes = boxes_out, usable = usable_out
    cdef double[::1] x_start = x_out, y_start = y_out, height = height_out, noise = noise_out
    cdef double[::1] buffer = np.empty(2 * wide * wide + 2 * size * size + 3 * wide)
    cdef double *box = &buffer[0]
    cdef double *other = box + wide * wide
    cdef double *above = other + wide * wide
    cdef double *excess = above + size * size
    cdef double *columns = excess + size * size
    cdef double lowest, value
    cdef const double *full
    cdef const double *up
    cdef const double *row
    cdef const double *down
    with nogil:
        for i in range(n):
            cut_box(&stamps[items[i], 0, 0], stamps.shape[1], stamps.shape[2], x_peak[i] - radius - 1,
                    y_peak[i] - radius - 1, wide, box)
            full = filled(box, wide * wide, other)
            median9(full, wide, columns, above)
            noise[i] = noise_of(box, full, above, size, excess)
            lowest = INFINITY
            for j in range(size * size):
                lowest = lower(above[j], lowest)
            for j in range(size * size):
                above[j] -= lowest
            for j in range(size):
                for k in range(size):
                    value = box[(j + 1) * wide + k + 1]
                    usable[i, j, k] = (
                        value < saturation
                        and excess[j * size + k] <= (steepest[i] - 1.0) * above[j * size + k] + 8.0 * noise[i]
                    )
                    boxes[i, j, k] = value if usable[i, j, k] else 0.0
            up = above + (radius - 1) * size + radius - 1
            row = up + size
            down = row + size
            height[i] = row[1]
            x_start[i] = vertex(up[0] + row[0] + down[0], up[1] + row[1] + down[1], up[2] + row[2] + down[2])
            y_start[i] = vertex(up[0] + up[1] + up[2], row[0] + row[1] + row[2], down[0] + down[1] + down[2])
    return boxes_out, usable_out, x_out, y_out, height_out, noise_out


def highest(const real[:, :, ::1] stamps, const int64_t[::1] items, const double[::1] x, const double[::1] y,
            const double[::1] reach):
    cdef Py_ssize_t i, j, k, column, row, r
    cdef double most, value
    out = np.empty(items.shape[0])
    cdef double[::1] result = out
    for i in range(items.shape[0]):
        column, row, r = nearest(x[i]), nearest(y[i]), <Py_ssize_t>reach[i] + 1
        most = NAN
        for j in range(max(row - r, 0), min(row + r + 1, stamps.shape[1])):
            for k in range(max(column - r, 0), min(column + r + 1, stamps.shape[2])):
                if (j - y[i]) * (j - y[i]) + (k - x[i]) * (k - x[i]) <= reach[i] * reach[i]:
                    value = stamps[items[i], j, k]
                    most = most if most >= value or isnan(value) else value
        result[i] = most
    return out
