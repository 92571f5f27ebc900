# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops over the stars of a frame that numpy has no operation for, compiled.

`shape_kernels.pyi` says what each takes and gives. What they mean, and why, stands where they are called: `shapes`,
`detection`. Each result is computed from its own pixels in one fixed order.
"""

from libc.math cimport INFINITY, NAN, exp, fabs, hypot, isfinite, rint, sqrt
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

import numpy as np

ctypedef fused number:
    uint8_t
    int8_t
    uint16_t
    int16_t
    uint32_t
    int32_t
    uint64_t
    int64_t
    float
    double

cdef double middle_of(double *values, Py_ssize_t n) noexcept nogil:
    """Give the median of n ≥ 1 values, whose order changes."""
    cdef Py_ssize_t low = 0, high = n - 1, i, j, k = n // 2
    cdef double pivot, below
    while low < high:  # Hoare's selection of the value of rank k
        pivot, i, j = values[k], low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if j < k:
            low = i
        if k < i:
            high = j
    if n % 2:
        return values[k]
    below = values[0]
    for i in range(1, k):
        below = max(below, values[i])
    return 0.5 * (below + values[k])


cdef inline Py_ssize_t pixel_at(double place, Py_ssize_t n) noexcept nogil:
    """Round a place to one of n pixels; that at the end for what lies outside, the first for NaN."""
    return 0 if not place > 0.0 else n - 1 if place >= n - 1 else <Py_ssize_t>rint(place)


# --- shapes -----------------------------------------------------------------------------------------------------------
def cut(const number[:, ::1] image, const double[::1] x, const double[::1] y, const double[::1] sky,
        Py_ssize_t radius):
    cdef Py_ssize_t height = image.shape[0], width = image.shape[1], n = x.shape[0], size = 2 * radius + 1
    cdef Py_ssize_t i, row, j, k, first
    cdef double v
    out = np.zeros((n, size, size))
    cdef double[:, :, ::1] stamps = out
    with nogil:
        for i in range(n):
            for j in range(size):
                row = <Py_ssize_t>y[i] + j - radius
                if row < 0 or row >= height:
                    continue
                first = <Py_ssize_t>x[i] - radius
                for k in range(max(-first, 0), min(size, width - first)):
                    v = <double>image[row, first + k] - sky[i]
                    if number is float or number is double:
                        v = v if isfinite(v) else 0.0
                    stamps[i, j, k] = v
    return out


cdef double SETTLED_PX = 1e-3  # a centre that moves less stays


cdef void window(double sigma, double narrow, double centre, Py_ssize_t size, double *w) noexcept nogil:
    """Give exp(−t² / 2 σ²) about a centre near the middle of `size` pixels, then t and t² times that.

    From pixel to pixel a Gaussian changes by a factor that itself changes by a constant one, `narrow` = exp(−1 / σ²).
    """
    cdef Py_ssize_t middle = size // 2, k
    cdef double at = rint(middle + centre)
    cdef Py_ssize_t nearest = <Py_ssize_t>at if 0.0 < at < size else 0 if not at >= size else size - 1  # NaN: 0
    cdef double t = (nearest - middle) - centre
    cdef double up = exp(-(t + 0.5) / (sigma * sigma)), down = exp((t - 0.5) / (sigma * sigma))
    w[nearest] = exp(-0.5 * t * t / (sigma * sigma))
    for k in range(nearest + 1, size):
        w[k] = w[k - 1] * up
        up *= narrow
    for k in range(nearest - 1, -1, -1):
        w[k] = w[k + 1] * down
        down *= narrow
    for k in range(size):
        t = (k - middle) - centre
        w[size + k] = w[k] * t
        w[2 * size + k] = w[k] * t * t


def windowed(const double[:, :, ::1] stamps, double[::1] dx, double[::1] dy, double[::1] sigma, Py_ssize_t n_turns,
             double step, double most, double narrowest, double widest):
    cdef Py_ssize_t n = stamps.shape[0], size = stamps.shape[1], i, j, k, turn, n_known
    cdef double s, m00, m10, m01, m20, m02, m11, mx, my, xx, yy, xy, det, a, b, c, det_inverse, narrow, common
    cdef const double *row
    out = np.empty((n, 4))
    cdef double[:, ::1] result = out
    cdef double[::1] scratch = np.empty(9 * size + n)
    cdef double *wx = &scratch[0]
    cdef double *wy = wx + 3 * size
    cdef double *down = wx + 6 * size  # sums down the columns of w, w y and w y² times the stamp
    cdef double *down1 = down + size
    cdef double *down2 = down1 + size
    cdef double *widths = wx + 9 * size
    cdef uint8_t[::1] settled = np.zeros(n, np.uint8)
    with nogil:
        for turn in range(n_turns):
            n_known = 0
            for i in range(n):
                if settled[i]:
                    continue
                narrow = exp(-1.0 / (sigma[i] * sigma[i]))
                window(sigma[i], narrow, dx[i], size, wx)
                window(sigma[i], narrow, dy[i], size, wy)
                for k in range(3 * size):
                    down[k] = 0.0
                for j in range(size):
                    row = &stamps[i, j, 0]
                    a, b, c = wy[j], wy[size + j], wy[2 * size + j]
                    for k in range(size):
                        down[k] += a * row[k]
                        down1[k] += b * row[k]
                        down2[k] += c * row[k]
                m00 = m10 = m01 = m20 = m02 = m11 = 0.0
                for k in range(size):
                    m00 += wx[k] * down[k]
                    m10 += wx[size + k] * down[k]
                    m20 += wx[2 * size + k] * down[k]
                    m01 += wx[k] * down1[k]
                    m11 += wx[size + k] * down1[k]
                    m02 += wx[k] * down2[k]
                result[i, 0] = m00
                result[i, 1] = result[i, 2] = result[i, 3] = NAN
                if not m00 > 0.0:
                    continue
                mx, my = m10 / m00, m01 / m00
                xx, yy, xy = m20 / m00 - mx * mx, m02 / m00 - my * my, m11 / m00 - mx * my
                det = xx * yy - xy * xy
                dx[i] += min(max(step * mx, -most), most)
                dy[i] += min(max(step * my, -most), most)
                # Where all windows change with the others' widths, none is done before the last turn.
                settled[i] = narrowest >= widest and max(fabs(step * mx), fabs(step * my)) < SETTLED_PX
                if not det > 0.0:
                    continue
                # The product of window and star is a Gaussian: its inverse covariance is the sum of theirs.
                s = 1.0 / (sigma[i] * sigma[i])
                a, b, c = yy / det - s, -xy / det, xx / det - s
                det_inverse = a * c - b * b
                if a > 0.0 and c > 0.0 and det_inverse > 0.0:
                    result[i, 1], result[i, 2], result[i, 3] = c / det_inverse, a / det_inverse, -b / det_inverse
                    widths[n_known] = 1.0 / det_inverse
                    n_known += 1
            if narrowest < widest and turn < n_turns - 1 and n_known:
                common = min(max(sqrt(sqrt(middle_of(widths, n_known))), narrowest), widest)
                for i in range(n):
                    sigma[i] = common
    return out


# --- what stars are like ----------------------------------------------------------------------------------------------
def led_to(const number[:, ::1] image, const double[::1] x, const double[::1] y, const double[::1] x_to,
           const double[::1] y_to, const double[:] flux, double limit, Py_ssize_t n_steps):
    cdef Py_ssize_t n = x.shape[0], height = image.shape[0], width = image.shape[1], i, j, k, column, row
    cdef double way
    cdef bint leads
    out = np.zeros(n, np.bool_)
    cdef uint8_t[::1] mark = out.view(np.uint8)
    with nogil:
        for i in range(n):
            for j in range(n):
                if mark[i] or flux[j] < flux[i] or (flux[j] == flux[i] and j >= i):
                    continue
                column, row = pixel_at(x_to[j], width), pixel_at(y_to[j], height)
                leads = True
                for k in range(n_steps + 1):
                    way = k / <double>n_steps
                    leads = (leads and image[<Py_ssize_t>rint(y[i] + way * (row - y[i])), <Py_ssize_t>x[i]] >= limit
                             and image[row, <Py_ssize_t>rint(x[i] + way * (column - x[i]))] >= limit)
                    if not leads:
                        break
                mark[i] = leads
    return out


def starlike(const double[:, ::1] shapes, const uint8_t[::1] full, double min_width, double wide_column,
             double max_ellipticity, double max_unlike, double least, double most, double reach):
    cdef Py_ssize_t n = shapes.shape[0], n_plain = 0, i, j
    cdef double xx, yy, xy, middle = NAN, middle1 = NAN, middle2 = NAN
    cdef double[:, ::1] scratch = np.empty((6, n + 1))
    cdef double *width = &scratch[0, 0]
    cdef double *e1 = &scratch[1, 0]
    cdef double *e2 = &scratch[2, 0]
    out = np.zeros(n, np.bool_)
    cdef uint8_t[::1] good = out.view(np.uint8)
    with nogil:
        for i in range(n):
            xx, yy, xy = shapes[i, 3], shapes[i, 4], shapes[i, 5]
            if not isfinite(xx):
                continue
            width[i] = sqrt(sqrt(xx * yy - xy * xy))
            e1[i], e2[i] = (xx - yy) / (xx + yy), 2.0 * xy / (xx + yy)
            good[i] = width[i] > min_width and (
                hypot(e1[i], e2[i]) < max_ellipticity
                # A star whose charge runs along a column is long, but wider than the column.
                or (full[i] and 0.5 * (xx + yy) - hypot(0.5 * (xx - yy), xy) > wide_column)
            )
            if good[i] and not full[i]:
                scratch[3, n_plain], scratch[4, n_plain], scratch[5, n_plain] = width[i], e1[i], e2[i]
                n_plain += 1
        if n_plain:
            middle = middle_of(&scratch[3, 0], n_plain)
            middle1, middle2 = middle_of(&scratch[4, 0], n_plain), middle_of(&scratch[5, 0], n_plain)
        for i in range(n):
            if good[i] and not full[i]:
                good[i] = (hypot(e1[i] - middle1, e2[i] - middle2) < max_unlike
                           and width[i] > least * middle and width[i] < most * middle)
        for i in range(n):  # 2: a star that has a brighter one within reach
            for j in range(i):
                if good[i] and good[j] and (
                    (shapes[j, 0] - shapes[i, 0]) * (shapes[j, 0] - shapes[i, 0])
                    + (shapes[j, 1] - shapes[i, 1]) * (shapes[j, 1] - shapes[i, 1]) <= reach * reach
                ):
                    good[j if shapes[j, 2] < shapes[i, 2] else i] = 2
        for i in range(n):
            good[i] = good[i] == 1
    return out


def highest(const number[:, ::1] image, const double[:] x, const double[:] y, Py_ssize_t radius):
    cdef Py_ssize_t height = image.shape[0], width = image.shape[1], n = x.shape[0], i, row, column, x0, y0
    cdef double v, most
    out = np.empty(n)
    cdef double[::1] result = out
    with nogil:
        for i in range(n):
            most = -INFINITY
            if not (fabs(x[i]) < 1e9 and fabs(y[i]) < 1e9):
                result[i] = most
                continue
            x0, y0 = <Py_ssize_t>rint(x[i]), <Py_ssize_t>rint(y[i])
            for row in range(max(y0 - radius, 0), min(y0 + radius + 1, height)):
                for column in range(max(x0 - radius, 0), min(x0 + radius + 1, width)):
                    v = image[row, column]
                    if number is float or number is double:
                        v = v if isfinite(v) else -INFINITY
                    most = max(most, v)
            result[i] = most
    return out
