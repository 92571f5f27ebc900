# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops of `photdb.algorithms.aperture`, compiled: sums over circles, plain and weighted by a profile.

`aperture_kernels.pyi` says what each takes and gives; what they mean stands where they are called.
"""

from libc.math cimport asin, ceil, floor, pow, sqrt
from libc.stdint cimport int64_t

import numpy as np

ctypedef fused real:
    float
    double

cdef double QUARTER_PI = 0.78539816339744830962



cdef double half_segment(double t, double r) noexcept nogil:
    """Integrate √(r² − t²) from 0 to t, which ends at the circle."""
    t = min(max(t, -r), r)
    return 0.5 * (t * sqrt(r * r - t * t) + r * r * asin(t / r))


cdef void corner_areas(const double *x, const double *area_x, Py_ssize_t n, double y, double r,
                       double *area) noexcept nogil:
    """Give the circle's area that is both left of each x and below y."""
    cdef Py_ssize_t i
    cdef double quarter = QUARTER_PI * r * r, area_y = half_segment(y, r), limit = r * r - y * y
    cdef double above = 1.0 if y >= 0 else 0.0, right, within, beyond
    for i in range(n):
        right = 1.0 if x[i] >= 0 else 0.0
        within = y * x[i] + (area_x[i] + quarter + area_y)
        beyond = above * (2.0 * area_x[i] + (2.0 - 4.0 * right) * quarter) + right * (2.0 * (area_y + quarter))
        area[i] = within if x[i] * x[i] < limit else beyond


def overlaps(const double[::1] dx, const double[::1] dy, const double[::1] radius):
    cdef Py_ssize_t i
    cdef double[2] x, area_x, low, high
    out = np.empty(dx.shape[0])
    cdef double[::1] area = out
    for i in range(dx.shape[0]):
        x[0], x[1] = dx[i] - 0.5, dx[i] + 0.5
        area_x[0], area_x[1] = half_segment(x[0], radius[i]), half_segment(x[1], radius[i])
        corner_areas(x, area_x, 2, dy[i] - 0.5, radius[i], low)
        corner_areas(x, area_x, 2, dy[i] + 0.5, radius[i], high)
        area[i] = min(max((high[1] - low[1]) - (high[0] - low[0]), 0.0), 1.0)
    return out


cdef Py_ssize_t within(double place, Py_ssize_t n) noexcept nogil:
    return <Py_ssize_t>min(max(place, 0.0), <double>n)


cdef void sum_circle(const real *stamp, Py_ssize_t height, Py_ssize_t width, double x, double y, double r,
                     double *buffer, double *sums) noexcept nogil:
    """Sum pixels, weights and squared weights over a circle; the buffer has room for five rows of corners."""
    cdef Py_ssize_t first = within(ceil(x - r - 0.5), width), n = within(floor(x + r + 0.5) + 1, width) - first
    cdef Py_ssize_t row = within(ceil(y - r - 0.5), height), end = within(floor(y + r + 0.5) + 1, height), i
    cdef double *edge = buffer
    cdef double *area_x = buffer + width + 1
    cdef double *below = buffer + 2 * (width + 1)
    cdef double *above = buffer + 3 * (width + 1)
    cdef double *weight = buffer + 4 * (width + 1)
    cdef const real *pixel
    sums[0] = sums[1] = sums[2] = 0.0
    if n <= 0 or end <= row:
        return
    for i in range(n + 1):
        edge[i] = first + i - 0.5 - x
        area_x[i] = half_segment(edge[i], r)
    corner_areas(edge, area_x, n + 1, row - 0.5 - y, r, below)
    while row < end:
        corner_areas(edge, area_x, n + 1, row + 0.5 - y, r, above)
        for i in range(n):
            weight[i] = min(max((above[i + 1] - below[i + 1]) - (above[i] - below[i]), 0.0), 1.0)
        pixel = stamp + row * width + first
        for i in range(n):
            if pixel[i] == pixel[i]:
                sums[0] += weight[i] * pixel[i]
                sums[1] += weight[i]
                sums[2] += weight[i] * weight[i]
        below, above = above, below
        row += 1


def circle_sums(const real[:, :, ::1] stamps, const int64_t[::1] items, const double[::1] x, const double[::1] y,
                const double[:, ::1] radii):
    cdef Py_ssize_t n = items.shape[0], p = radii.shape[1], i, j, height = stamps.shape[1], width = stamps.shape[2]
    cdef double[3] sums
    out = np.empty((3, n, p))
    cdef double[:, :, ::1] result = out
    cdef double[::1] buffer = np.empty(5 * (width + 1))
    if n and height and width:
        with nogil:
            for i in range(n):
                for j in range(p):
                    sum_circle(&stamps[items[i], 0, 0], height, width, x[i], y[i], radii[i, j], &buffer[0], sums)
                    result[0, i, j], result[1, i, j], result[2, i, j] = sums[0], sums[1], sums[2]
    return out


cdef void sum_profile(const real *stamp, Py_ssize_t height, Py_ssize_t width, double x, double y, double r,
                      const double *shape, double *buffer, double *sums) noexcept nogil:
    """Sum over a circle: profile × pixels, profile, its square, and the overlaps; profiles are cut by the circle."""
    cdef Py_ssize_t first = within(ceil(x - r - 0.5), width), n = within(floor(x + r + 0.5) + 1, width) - first
    cdef Py_ssize_t row = within(ceil(y - r - 0.5), height), end = within(floor(y + r + 0.5) + 1, height), i
    cdef double *edge = buffer
    cdef double *area_x = buffer + width + 1
    cdef double *below = buffer + 2 * (width + 1)
    cdef double *above = buffer + 3 * (width + 1)
    cdef const real *pixel
    cdef double overlap, weight, dx, dy, in_x = shape[0], in_xy = 2.0 * shape[1], in_y = shape[2], power = -shape[3]
    sums[0] = sums[1] = sums[2] = sums[3] = 0.0
    if n <= 0 or end <= row:
        return
    for i in range(n + 1):
        edge[i] = first + i - 0.5 - x
        area_x[i] = half_segment(edge[i], r)
    corner_areas(edge, area_x, n + 1, row - 0.5 - y, r, below)
    while row < end:
        corner_areas(edge, area_x, n + 1, row + 0.5 - y, r, above)
        pixel = stamp + row * width + first
        dy = row - y
        for i in range(n):
            overlap = min(max((above[i + 1] - below[i + 1]) - (above[i] - below[i]), 0.0), 1.0)
            if pixel[i] == pixel[i] and overlap > 0.0:
                dx = first + i - x
                weight = overlap * pow(1.0 + in_x * dx * dx + in_xy * dx * dy + in_y * dy * dy, power)
                sums[0] += weight * pixel[i]
                sums[1] += weight
                sums[2] += weight * weight
                sums[3] += overlap
        below, above = above, below
        row += 1


def profile_sums(const real[:, :, ::1] stamps, const int64_t[::1] items, const double[::1] x, const double[::1] y,
                 const double[::1] radii, const double[:, ::1] shapes):
    cdef Py_ssize_t n = items.shape[0], i, k, height = stamps.shape[1], width = stamps.shape[2]
    cdef double[4] sums
    out = np.zeros((4, n))
    cdef double[:, ::1] result = out
    cdef double[::1] buffer = np.empty(4 * (width + 1))
    if n and height and width:
        with nogil:
            for i in range(n):
                sum_profile(&stamps[items[i], 0, 0], height, width, x[i], y[i], radii[i], &shapes[i, 0], &buffer[0],
                            sums)
                for k in range(4):
                    result[k, i] = sums[k]
    return out
