# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops over candidates and stars of a frame that numpy has no operation for, compiled.

`star_kernels.pyi` says what each takes and gives. What they mean, and why, stands where they are called: `detection`,
`shapes`. Each result is computed from its own pixels in one fixed order.
"""

from libc.math cimport INFINITY, NAN, exp, fabs, isfinite, rint, sqrt
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

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

cdef void *grown(void *memory, size_t size) except NULL nogil:
    """Make memory larger."""
    cdef void *more = realloc(memory, size)
    if more == NULL:
        free(memory)
        with gil:
            raise MemoryError
    return more


# --- candidates -------------------------------------------------------------------------------------------------------
cdef enum:
    RING = 16  # points around a candidate
    RUN = 64  # pixels that are looked at together, eight times eight


cdef struct Criteria:
    double n_sigmas, full_adu, max_ridge, min_around, min_across
    Py_ssize_t reach  # of the ring along an axis, at most
    Py_ssize_t[RING] ring_y, ring_x, offset


cdef struct Candidate:
    double x, y, sky, height, full


cdef void sort_ring(const double *values, double *ordered) noexcept nogil:
    """Sort by counting what is less: no branch that a processor could guess wrong."""
    cdef Py_ssize_t i, j, rank
    for i in range(RING):
        rank = 0
        for j in range(i):
            rank += values[j] <= values[i]
        for j in range(i + 1, RING):
            rank += values[j] < values[i]
        ordered[rank] = values[i]


cdef bint any_above(const number *row, const number *limit) noexcept nogil:
    """Say whether a run of pixels holds one above its limit."""
    cdef uint8_t[RUN] mark
    cdef uint64_t[8] eight
    cdef uint64_t any_mark = 0
    cdef Py_ssize_t k
    for k in range(RUN):  # without branches, here and below: the compiler makes vector operations of it
        mark[k] = row[k] > limit[k]
    memcpy(eight, mark, RUN)
    for k in range(8):
        any_mark |= eight[k]
    return any_mark != 0


cdef Py_ssize_t maxima_of_run(const number *row, const number *limit, Py_ssize_t width, Py_ssize_t n,
                              Py_ssize_t *found, Py_ssize_t start) noexcept nogil:
    """Find the pixels of a run above their limits that are not below their neighbours up, down, left and right.

    Strict on one side only: a plateau keeps its first corner.
    """
    cdef uint8_t[RUN] mark
    cdef const number *up = row - width
    cdef const number *down = row + width
    cdef const number *left = row - 1
    cdef const number *right = row + 1
    cdef uint64_t eight
    cdef Py_ssize_t k, word, n_found = 0
    for k in range(RUN):
        mark[k] = 0
    for k in range(n):
        mark[k] = ((row[k] > limit[k]) & (row[k] > left[k]) & (row[k] > up[k])
                   & (row[k] >= right[k]) & (row[k] >= down[k]))
    for word in range(0, RUN, 8):
        memcpy(&eight, mark + word, 8)
        if eight != 0:
            for k in range(word, word + 8):
                if mark[k]:
                    found[n_found] = start + k
                    n_found += 1
    return n_found


cdef Py_ssize_t maxima_of_row(const number *row, const number *limit, Py_ssize_t width, Py_ssize_t *found,
                              Py_ssize_t start) noexcept nogil:
    cdef Py_ssize_t x = 1, n = 0
    while x + RUN < width:
        if any_above(row + x, limit + x):
            n += maxima_of_run(row + x, limit + x, width, RUN, found + n, start + x)
        x += RUN
    return n + maxima_of_run(row + x, limit + x, width, width - 1 - x, found + n, start + x)


cdef bint is_candidate(const number *image, Py_ssize_t height, Py_ssize_t width, Py_ssize_t y, Py_ssize_t x,
                       double level, double scatter, const Criteria *want, Candidate *out) noexcept nogil:
    """Say whether a local maximum may be a star, and describe it."""
    cdef const number *p = image + y * width + x
    cdef const number *up = p - width
    cdef const number *down = p + width
    cdef const number *left = p - 1
    cdef Py_ssize_t j, reach = want.reach, n_low = 0, n_high = 0
    cdef double top = p[0], total, mean, sky, noise, across, ridge = -INFINITY
    cdef double[RING] ring, ordered
    total = <double>(up - 1)[0] + up[0] + up[1] + left[0] + p[1] + (down - 1)[0] + down[0] + down[1]
    if number is float or number is double:
        if not isfinite(total + top):
            return False
    if not total + top - 9.0 * level >= 3.0 * want.n_sigmas * scatter:
        return False
    if reach <= y < height - reach and reach <= x < width - reach:
        for j in range(RING):
            ring[j] = p[want.offset[j]]
    else:
        for j in range(RING):
            ring[j] = image[min(max(y + want.ring_y[j], 0), height - 1) * width
                            + min(max(x + want.ring_x[j], 0), width - 1)]
    for j in range(RING):
        if number is float or number is double:
            ring[j] = ring[j] if isfinite(ring[j]) else level
        n_low += ring[j] < level - scatter
        n_high += ring[j] > level + scatter
    for j in range(RING // 2):
        ridge = max(ridge, min(ring[j], ring[j + RING // 2]))
    mean = (total + top) / 9.0
    sky, noise = level, scatter
    out.full = top >= want.full_adu
    if max(n_low, n_high) > RING // 4:  # else median and quartiles are within the scatter, and change nothing
        sort_ring(ring, ordered)
        sky = 0.5 * (ordered[RING // 2 - 1] + ordered[RING // 2])
        if out.full or not fabs(sky - level) > max(scatter, 0.1 * (mean - level)):
            sky = level
        # Halos and structure are rougher than the sky: half the distance of the quartiles is 0.67 scatters of noise.
        noise = max(scatter, 0.5 * (ordered[3 * RING // 4 - 1] - ordered[RING // 4]))
    mean -= sky
    across = min(<double>up[0] + down[0], <double>left[0] + p[1]) - 2.0 * sky
    out.x, out.y, out.sky, out.height = x, y, sky, mean
    return (
        (out.full or (3.0 * mean >= want.n_sigmas * noise and ridge - sky < want.max_ridge * mean))
        and total - 8.0 * sky >= want.min_around * (top - sky)
        and across >= want.min_across * (top - sky) - sqrt(2.0) * noise
    )


cdef double between(double low, double high, double fraction) noexcept nogil:
    return low + fraction * (high - low)


def candidates(const number[:, ::1] image, const number[:, ::1] limits, Py_ssize_t band_px,
               const double[:, ::1] level, const double[:, ::1] scatter,
               const int64_t[:, ::1] tiles_y, const double[::1] part_y,
               const int64_t[:, ::1] tiles_x, const double[::1] part_x,
               const int64_t[:, ::1] ring, double n_sigmas, double full_adu, double max_ridge, double min_around,
               double min_across):
    cdef Py_ssize_t height = image.shape[0], width = image.shape[1], x, y, i, n = 0, n_maxima = 0, n_judged = 0
    cdef Py_ssize_t y0, y1, x0, x1, room = 4096, out_room = 1024
    cdef double fy, fx, here, rough
    cdef Criteria want
    if ring.shape[0] != RING:
        raise ValueError(f"the ring must have {RING} points")
    cdef Py_ssize_t *maxima = <Py_ssize_t *>malloc(room * sizeof(Py_ssize_t))
    cdef Candidate *out = <Candidate *>malloc(out_room * sizeof(Candidate))
    if maxima == NULL or out == NULL:
        free(maxima)
        free(out)
        raise MemoryError
    want.n_sigmas, want.full_adu, want.max_ridge = n_sigmas, full_adu, max_ridge
    want.min_around, want.min_across = min_around, min_across
    want.reach = 0
    for i in range(RING):
        want.ring_y[i], want.ring_x[i] = ring[i, 0], ring[i, 1]
        want.offset[i] = ring[i, 0] * width + ring[i, 1]
        want.reach = max(want.reach, abs(ring[i, 0]), abs(ring[i, 1]))
    with nogil:
        for y in range(1, height - 1 + want.reach):
            if y < height - 1 and width > 2:
                if n_maxima + width > room:
                    room = 2 * room + width
                    maxima = <Py_ssize_t *>grown(maxima, room * sizeof(Py_ssize_t))
                n_maxima += maxima_of_row(&image[y, 0], &limits[y // band_px, 0], width, maxima + n_maxima, y * width)
            # Judged when all rows that count have passed: they are in the cache then.
            while n_judged < n_maxima and maxima[n_judged] // width <= y - want.reach:
                if n == out_room:
                    out_room *= 2
                    out = <Candidate *>grown(out, out_room * sizeof(Candidate))
                i, x = maxima[n_judged] // width, maxima[n_judged] % width
                y0, y1, fy = tiles_y[0, i], tiles_y[1, i], part_y[i]
                x0, x1, fx = tiles_x[0, x], tiles_x[1, x], part_x[x]
                here = between(between(level[y0, x0], level[y0, x1], fx), between(level[y1, x0], level[y1, x1], fx), fy)
                fy, fx = min(max(fy, 0.0), 1.0), min(max(fx, 0.0), 1.0)
                rough = between(between(scatter[y0, x0], scatter[y0, x1], fx),
                                between(scatter[y1, x0], scatter[y1, x1], fx), fy)
                n += is_candidate(&image[0, 0], height, width, i, x, here, rough, &want, &out[n])
                n_judged += 1
    free(maxima)
    result = np.empty((n, 5))
    cdef double[:, ::1] view = result
    if n:
        memcpy(&view[0, 0], out, n * sizeof(Candidate))
    free(out)
    return result


# --- neighbours -------------------------------------------------------------------------------------------------------
cdef struct Grid:  # of square cells; each has a list of points, the last one first
    double x0, y0, side
    Py_ssize_t across, down
    int32_t *last  # of each cell, -1 where it has none
    int32_t *previous  # of each point


cdef Py_ssize_t cell_of(double value, double origin, double side, Py_ssize_t n) noexcept nogil:
    return min(max(<Py_ssize_t>((value - origin) / side), 0), n - 1)


cdef Grid new_grid(const double[::1] x, const double[::1] y, double side) except *:
    cdef Grid grid
    cdef Py_ssize_t i, n = x.shape[0]
    cdef double x1 = -INFINITY, y1 = -INFINITY
    grid.x0 = grid.y0 = INFINITY
    for i in range(n):
        grid.x0, grid.y0, x1, y1 = min(grid.x0, x[i]), min(grid.y0, y[i]), max(x1, x[i]), max(y1, y[i])
    # Larger cells where there would be far more of them than points.
    grid.side = max(side, sqrt((x1 - grid.x0 + side) * (y1 - grid.y0 + side) / (4 * n + 16)))
    grid.across = <Py_ssize_t>((x1 - grid.x0) / grid.side) + 1
    grid.down = <Py_ssize_t>((y1 - grid.y0) / grid.side) + 1
    grid.last = <int32_t *>malloc((grid.across * grid.down + n) * sizeof(int32_t))
    if grid.last == NULL:
        raise MemoryError
    grid.previous = grid.last + grid.across * grid.down
    for i in range(grid.across * grid.down):
        grid.last[i] = -1
    return grid


def joined(const number[:, ::1] image, const double[::1] x, const double[::1] y, const double[::1] sky,
           const double[::1] height, double near, double reach, double valley):
    cdef Py_ssize_t n = x.shape[0], i, j, k, cx, cy, column, row
    cdef double dx, dy, d2, light
    cdef bint together
    out = np.zeros(n, np.bool_)
    if n == 0:
        return out
    cdef uint8_t[::1] mark = out.view(np.uint8)
    cdef Grid grid = new_grid(x, y, reach)
    with nogil:
        for i in range(n):
            cx, cy = cell_of(x[i], grid.x0, grid.side, grid.across), cell_of(y[i], grid.y0, grid.side, grid.down)
            for row in range(max(cy - 1, 0), min(cy + 2, grid.down)):
                for column in range(max(cx - 1, 0), min(cx + 2, grid.across)):
                    j = grid.last[row * grid.across + column]
                    while j >= 0 and not mark[i]:
                        dx, dy = x[j] - x[i], y[j] - y[i]
                        d2 = dx * dx + dy * dy
                        if d2 < near * near:
                            mark[i] = True
                        elif d2 <= reach * reach:
                            together = True
                            for k in range(1, 4):
                                light = image[<Py_ssize_t>rint(y[i] + 0.25 * k * dy),
                                              <Py_ssize_t>rint(x[i] + 0.25 * k * dx)]
                                together = together and light - sky[i] > valley * height[i]
                            mark[i] = together
                        j = grid.previous[j]
            grid.previous[i] = grid.last[cy * grid.across + cx]
            grid.last[cy * grid.across + cx] = i
    free(grid.last)
    return out


def spread(const double[::1] x, const double[::1] y, double side, Py_ssize_t n_across, Py_ssize_t n_down, Py_ssize_t n):
    cdef Py_ssize_t n_places = x.shape[0], i, k, cell, quota, n_filled = 0, n_first = 0, turn
    chosen = np.empty(min(n, n_places), np.int64)
    cdef int64_t[::1] out = chosen
    cdef int64_t *count = <int64_t *>calloc(n_across * n_down + n_places, sizeof(int64_t))
    cdef int64_t *place = count + n_across * n_down  # within its cell, 0 the brightest
    if count == NULL:
        raise MemoryError
    for i in range(n_places):
        cell = <Py_ssize_t>(y[i] / side) * n_across + <Py_ssize_t>(x[i] / side)
        n_filled += count[cell] == 0
        place[i] = count[cell]
        count[cell] += 1
    quota = max(1, <Py_ssize_t>rint(0.5 * n / n_filled)) if n_filled else 1
    k = 0
    for turn in range(2):
        for i in range(n_places):
            if k < out.shape[0] and (place[i] < quota) == (turn == 0):
                out[k] = i
                k += 1
    free(count)
    return chosen
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


cdef void window(double sigma, double centre, Py_ssize_t size, double *w) noexcept nogil:
    """Give exp(−t² / 2 σ²) about a centre near the middle of `size` pixels, then t and t² times that."""
    cdef Py_ssize_t middle = size // 2, k
    cdef Py_ssize_t nearest = <Py_ssize_t>min(max(rint(middle + centre), 0.0), size - 1.0)
    cdef double t = (nearest - middle) - centre, q = exp(-1.0 / (sigma * sigma))
    cdef double up = exp((-t - 0.5) / (sigma * sigma)), down = exp((t - 0.5) / (sigma * sigma))
    # From pixel to pixel a Gaussian changes by a factor that itself changes by a constant one.
    w[nearest] = exp(-0.5 * t * t / (sigma * sigma))
    for k in range(nearest + 1, size):
        w[k] = w[k - 1] * up
        up *= q
    for k in range(nearest - 1, -1, -1):
        w[k] = w[k + 1] * down
        down *= q
    for k in range(size):
        t = (k - middle) - centre
        w[size + k] = w[k] * t
        w[2 * size + k] = w[k] * t * t


def windowed(const double[:, :, ::1] stamps, double[::1] dx, double[::1] dy, const double[::1] sigma, double step,
             double most):
    cdef Py_ssize_t n = stamps.shape[0], size = stamps.shape[1], i, j, k
    cdef double s, m00, m10, m01, m20, m02, m11, mx, my, xx, yy, xy, det, a, b, c, det_inverse
    cdef const double *row
    out = np.empty((n, 4))
    cdef double[:, ::1] result = out
    cdef double *wx = <double *>malloc(9 * size * sizeof(double))
    cdef double *wy = wx + 3 * size
    cdef double *down = wx + 6 * size  # sums down the columns of w, w y and w y² times the stamp
    if wx == NULL:
        raise MemoryError
    with nogil:
        for i in range(n):
            window(sigma[i], dx[i], size, wx)
            window(sigma[i], dy[i], size, wy)
            for k in range(3 * size):
                down[k] = 0.0
            for j in range(size):
                row = &stamps[i, j, 0]
                a, b, c = wy[j], wy[size + j], wy[2 * size + j]
                for k in range(size):
                    down[k] += a * row[k]
                for k in range(size):
                    down[size + k] += b * row[k]
                for k in range(size):
                    down[2 * size + k] += c * row[k]
            m00 = m10 = m01 = m20 = m02 = m11 = 0.0
            for k in range(size):
                m00 += wx[k] * down[k]
                m10 += wx[size + k] * down[k]
                m20 += wx[2 * size + k] * down[k]
                m01 += wx[k] * down[size + k]
                m11 += wx[size + k] * down[size + k]
                m02 += wx[k] * down[2 * size + k]
            result[i, 0] = m00
            result[i, 1] = result[i, 2] = result[i, 3] = NAN
            if not m00 > 0.0:
                continue
            mx, my = m10 / m00, m01 / m00
            dx[i] += min(max(step * mx, -most), most)
            dy[i] += min(max(step * my, -most), most)
            xx, yy, xy = m20 / m00 - mx * mx, m02 / m00 - my * my, m11 / m00 - mx * my
            det = xx * yy - xy * xy
            if not det > 0.0:
                continue
            # The product of window and star is a Gaussian: its inverse covariance is the sum of theirs.
            a, b, c = yy / det - 1.0 / (sigma[i] * sigma[i]), -xy / det, xx / det - 1.0 / (sigma[i] * sigma[i])
            det_inverse = a * c - b * b
            if a > 0.0 and c > 0.0 and det_inverse > 0.0:
                result[i, 1], result[i, 2], result[i, 3] = c / det_inverse, a / det_inverse, -b / det_inverse
    free(wx)
    return out


# --- what stars are like ----------------------------------------------------------------------------------------------
def repeated(const double[::1] x, const double[::1] y, double reach):
    cdef Py_ssize_t n = x.shape[0], i, j
    out = np.zeros(n, np.bool_)
    cdef uint8_t[::1] mark = out.view(np.uint8)
    with nogil:
        for i in range(n):
            for j in range(i):
                mark[i] |= (x[j] - x[i]) * (x[j] - x[i]) + (y[j] - y[i]) * (y[j] - y[i]) <= reach * reach
    return out


def highest(const number[:, ::1] image, const double[::1] x, const double[::1] y, Py_ssize_t radius):
    cdef Py_ssize_t height = image.shape[0], width = image.shape[1], n = x.shape[0], i, row, column, x0, y0
    cdef double v, most
    out = np.empty(n)
    cdef double[::1] result = out
    with nogil:
        for i in range(n):
            x0, y0 = <Py_ssize_t>rint(x[i]), <Py_ssize_t>rint(y[i])
            most = -INFINITY
            for row in range(max(y0 - radius, 0), min(y0 + radius + 1, height)):
                for column in range(max(x0 - radius, 0), min(x0 + radius + 1, width)):
                    v = image[row, column]
                    if number is float or number is double:
                        v = v if isfinite(v) else -INFINITY
                    most = max(most, v)
            result[i] = most
    return out
