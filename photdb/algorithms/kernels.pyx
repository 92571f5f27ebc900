# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops over pixels and stars that numpy has no operation for, compiled.

`kernels.pyi` says what each takes and gives. What they mean, and why, stands where they are called: `background`,
`detection`, `shapes`. Each result is computed from its own pixels in one fixed order.
"""

from libc.math cimport INFINITY, NAN, exp, fabs, floor, isfinite, isnan, rint, sqrt
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


# --- pixels -----------------------------------------------------------------------------------------------------------
def swap_bytes(uint16_t[::1] words, uint16_t flip):
    cdef Py_ssize_t i
    for i in range(words.shape[0]):
        words[i] = <uint16_t>((words[i] << 8) | (words[i] >> 8)) ^ flip


# --- background -------------------------------------------------------------------------------------------------------
cdef Py_ssize_t n_below(const number *row, Py_ssize_t n, double limit) noexcept nogil:
    """Count the values of a sorted row below a limit; NaN come last, and are not."""
    cdef Py_ssize_t low = 0, high = n, middle
    while low < high:
        middle = (low + high) // 2
        if row[middle] < limit:
            low = middle + 1
        else:
            high = middle
    return low


def clipped(const number[:, ::1] ordered, int n_clips, double clip, Py_ssize_t min_values):
    cdef Py_ssize_t n_rows = ordered.shape[0], n = ordered.shape[1], i, first, last, below, k
    cdef double[3] fraction = [0.1587, 0.5, 0.8413]
    cdef double[3] value = [0.0, 0.0, 0.0]
    cdef double rank, scatter, half
    cdef const number *row
    cdef int turn
    cdef bint integral = number is not float and number is not double
    out = np.full((2, n_rows), np.nan)
    cdef double[:, ::1] result = out
    with nogil:
        for i in range(n_rows):
            row = &ordered[i, 0]
            first, last = 0, n
            if number is float or number is double:
                while last > 0 and isnan(row[last - 1]):
                    last -= 1
            if last < min(min_values, n):
                continue
            for turn in range(n_clips + 1):
                for k in range(3):
                    value[k] = row[min(<Py_ssize_t>(first + fraction[k] * (last - first)), n - 1)]
                if turn == n_clips:
                    break
                # One side may be full of stars or of dead pixels: the first clip trusts the narrower one.
                scatter = 0.5 * (value[2] - value[0]) if turn else min(value[1] - value[0], value[2] - value[1])
                half = clip * (max(scatter, 0.5) if integral else scatter)
                first = n_below(row, n, value[1] - half)
                last = max(n_below(row, n, value[1] + half), first + 1)
            if integral:  # spread the equal ones evenly over ± ½ around their value
                for k in range(3):
                    rank = first + fraction[k] * (last - first)
                    below = n_below(row, n, value[k])
                    value[k] = value[k] - 0.5 + (rank - below) / (n_below(row, n, value[k] + 1.0) - below)
            result[0, i] = value[1]
            result[1, i] = 0.5 * (value[2] - value[0])
    return out


def median_around(const double[:, ::1] values, double fallback):
    cdef Py_ssize_t ny = values.shape[0], nx = values.shape[1], y, x, dy, dx, n, k
    cdef double[9] known
    cdef double v
    out = np.empty((ny, nx))
    cdef double[:, ::1] result = out
    with nogil:
        for y in range(ny):
            for x in range(nx):
                n = 0
                for dy in range(-1, 2):
                    for dx in range(-1, 2):
                        v = values[min(max(y + dy, 0), ny - 1), min(max(x + dx, 0), nx - 1)]
                        if not isnan(v):
                            k = n
                            while k > 0 and known[k - 1] > v:
                                known[k] = known[k - 1]
                                k -= 1
                            known[k] = v
                            n += 1
                result[y, x] = 0.5 * (known[(n - 1) // 2] + known[n // 2]) if n else fallback
    return out


# --- candidates -------------------------------------------------------------------------------------------------------
cdef struct Map:
    const double *level
    const double *scatter
    Py_ssize_t ny, nx
    double tile_height, tile_width


cdef enum:
    RING = 16  # points around a candidate


cdef struct Criteria:
    Map sky
    double n_sigmas, full_adu, max_ridge, min_around, min_across
    Py_ssize_t reach  # of the ring along an axis, at most
    Py_ssize_t[RING] ring_y, ring_x


cdef struct Candidate:
    double x, y, sky, height, full


cdef void between(double position, Py_ssize_t n, double tile, Py_ssize_t *first, Py_ssize_t *second,
                  double *fraction) noexcept nogil:
    cdef double place = (position + 0.5) / tile - 0.5
    first[0] = <Py_ssize_t>min(max(floor(place), 0.0), <double>max(n - 2, 0))
    second[0] = min(first[0] + 1, n - 1)
    fraction[0] = min(max(place - first[0], -1.0), 2.0)


cdef double bilinear(const double *values, Py_ssize_t nx, Py_ssize_t y0, Py_ssize_t y1, Py_ssize_t x0, Py_ssize_t x1,
                     double fy, double fx) noexcept nogil:
    cdef double a = values[y0 * nx + x0], b = values[y0 * nx + x1]
    cdef double c = values[y1 * nx + x0], d = values[y1 * nx + x1]
    cdef double low = a + fx * (b - a)
    return low + fy * (c + fx * (d - c) - low)


cdef void sky_at(const Map *sky, double x, double y, double *level, double *scatter) noexcept nogil:
    """Interpolate between the centres of the tiles; outside, the level goes on linearly, the scatter is constant."""
    cdef Py_ssize_t x0, x1, y0, y1
    cdef double fx, fy
    between(x, sky.nx, sky.tile_width, &x0, &x1, &fx)
    between(y, sky.ny, sky.tile_height, &y0, &y1, &fy)
    level[0] = bilinear(sky.level, sky.nx, y0, y1, x0, x1, fy, fx)
    scatter[0] = bilinear(
        sky.scatter, sky.nx, y0, y1, x0, x1, min(max(fy, 0.0), 1.0), min(max(fx, 0.0), 1.0)
    )


def sky_of(const double[:, ::1] level_map, const double[:, ::1] scatter_map, double tile_height, double tile_width,
           const double[::1] x, const double[::1] y):
    cdef Py_ssize_t i, n = x.shape[0]
    cdef Map sky = Map(&level_map[0, 0], &scatter_map[0, 0], level_map.shape[0], level_map.shape[1],
                       tile_height, tile_width)
    out = np.empty((2, n))
    cdef double[:, ::1] result = out
    for i in range(n):
        sky_at(&sky, x[i], y[i], &result[0, i], &result[1, i])
    return out


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


cdef Py_ssize_t maxima_of_row(const number *row, const number *limit, Py_ssize_t width, uint8_t *mark,
                              Py_ssize_t *found, Py_ssize_t start) noexcept nogil:
    """Find a row's pixels above their limits that are not below their neighbours up, down, left and right.

    Strict on one side only: a plateau keeps its first corner.
    """
    cdef Py_ssize_t x, word, n = 0
    cdef const number *up = row - width
    cdef const number *down = row + width
    cdef const number *left = row - 1
    cdef const number *right = row + 1
    cdef uint64_t eight
    for x in range(1, width - 1):  # without branches: the compiler makes vector operations of it
        mark[x] = ((row[x] > limit[x]) & (row[x] > left[x]) & (row[x] > up[x])
                   & (row[x] >= right[x]) & (row[x] >= down[x]))
    for word in range((width + 7) // 8):
        memcpy(&eight, mark + 8 * word, 8)
        if eight != 0:
            for x in range(8 * word, 8 * word + 8):
                if mark[x]:
                    found[n] = start + x
                    n += 1
    return n


cdef bint is_candidate(const number *image, Py_ssize_t height, Py_ssize_t width, Py_ssize_t y, Py_ssize_t x,
                       const Criteria *want, Candidate *out) noexcept nogil:
    """Say whether a local maximum may be a star, and describe it."""
    cdef const number *p = image + y * width + x
    cdef Py_ssize_t j
    cdef double top = p[0], total, level, scatter, mean, sky, noise, across, ridge = -INFINITY
    cdef double[RING] ring, ordered
    cdef const number *up = p - width
    cdef const number *down = p + width
    cdef const number *left = p - 1
    total = <double>(up - 1)[0] + up[0] + up[1] + left[0] + p[1] + (down - 1)[0] + down[0] + down[1]
    if not isfinite(total + top):
        return False
    sky_at(&want.sky, x, y, &level, &scatter)
    if not total + top - 9.0 * level >= 3.0 * want.n_sigmas * scatter:
        return False
    for j in range(RING):
        ring[j] = image[min(max(y + want.ring_y[j], 0), height - 1) * width
                        + min(max(x + want.ring_x[j], 0), width - 1)]
        if not isfinite(ring[j]):
            ring[j] = level
    for j in range(RING // 2):
        ridge = max(ridge, min(ring[j], ring[j + RING // 2]))
    sort_ring(ring, ordered)
    mean = (total + top) / 9.0
    sky = 0.5 * (ordered[RING // 2 - 1] + ordered[RING // 2])
    out.full = top >= want.full_adu
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


def candidates(const number[:, ::1] image, const number[:, ::1] limits, Py_ssize_t band_px,
               const double[:, ::1] level_map, const double[:, ::1] scatter_map, double tile_height, double tile_width,
               const int64_t[:, ::1] ring, double n_sigmas, double full_adu, double max_ridge, double min_around,
               double min_across):
    cdef Py_ssize_t height = image.shape[0], width = image.shape[1], y, i, n = 0, n_maxima = 0, n_judged = 0
    cdef Py_ssize_t room = 4096, out_room = 1024
    cdef Criteria want
    if ring.shape[0] != RING:
        raise ValueError(f"the ring must have {RING} points")
    cdef uint8_t *mark = <uint8_t *>calloc(width + 8, 1)
    cdef Py_ssize_t *maxima = <Py_ssize_t *>malloc(room * sizeof(Py_ssize_t))
    cdef Candidate *out = <Candidate *>malloc(out_room * sizeof(Candidate))
    if mark == NULL or maxima == NULL or out == NULL:
        free(mark)
        free(maxima)
        free(out)
        raise MemoryError
    want.sky = Map(&level_map[0, 0], &scatter_map[0, 0], level_map.shape[0], level_map.shape[1],
                   tile_height, tile_width)
    want.n_sigmas, want.full_adu, want.max_ridge = n_sigmas, full_adu, max_ridge
    want.min_around, want.min_across = min_around, min_across
    want.reach = 0
    for i in range(RING):
        want.ring_y[i], want.ring_x[i] = ring[i, 0], ring[i, 1]
        want.reach = max(want.reach, abs(ring[i, 0]))
    with nogil:
        for y in range(1, height - 1 + want.reach):
            if y < height - 1:
                if n_maxima + width > room:
                    room = 2 * room + width
                    maxima = <Py_ssize_t *>grown(maxima, room * sizeof(Py_ssize_t))
                n_maxima += maxima_of_row(&image[y, 0], &limits[y // band_px, 0], width, mark, maxima + n_maxima, y * width)
            # Judged when all rows that count have passed: they are in the cache then.
            while n_judged < n_maxima and maxima[n_judged] // width <= y - want.reach:
                if n == out_room:
                    out_room *= 2
                    out = <Candidate *>grown(out, out_room * sizeof(Candidate))
                i = maxima[n_judged]
                n += is_candidate(&image[0, 0], height, width, i // width, i % width, &want, &out[n])
                n_judged += 1
    free(mark)
    free(maxima)
    result = np.empty((n, 5))
    cdef double[:, ::1] view = result
    if n:
        memcpy(&view[0, 0], out, n * sizeof(Candidate))
    free(out)
    return result


def pairs_within(const double[::1] x, const double[::1] y, const int64_t[::1] by_y, double reach):
    cdef Py_ssize_t n = x.shape[0], i, j, a, b, count = 0, room = 256
    cdef int64_t *out = <int64_t *>malloc(2 * room * sizeof(int64_t))
    cdef double dx, dy
    if out == NULL:
        raise MemoryError
    with nogil:
        for i in range(n):
            a = by_y[i]
            for j in range(i + 1, n):
                b = by_y[j]
                dy = y[b] - y[a]
                if dy > reach:
                    break
                dx = x[b] - x[a]
                if dx * dx + dy * dy <= reach * reach:
                    if count == room:
                        out = <int64_t *>grown(out, 4 * room * sizeof(int64_t))
                        room *= 2
                    out[2 * count] = min(a, b)
                    out[2 * count + 1] = max(a, b)
                    count += 1
    result = np.empty((count, 2), np.int64)
    cdef int64_t[:, ::1] view = result
    if count:
        memcpy(&view[0, 0], out, 2 * count * sizeof(int64_t))
    free(out)
    return result


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
def cut(const number[:, ::1] image, const int64_t[::1] x, const int64_t[::1] y, const double[::1] sky,
        Py_ssize_t radius):
    cdef Py_ssize_t height = image.shape[0], width = image.shape[1], n = x.shape[0], size = 2 * radius + 1
    cdef Py_ssize_t i, row, column, j, k
    cdef double v
    out = np.zeros((n, size, size))
    cdef double[:, :, ::1] stamps = out
    with nogil:
        for i in range(n):
            for j in range(size):
                row = y[i] + j - radius
                if row < 0 or row >= height:
                    continue
                for k in range(size):
                    column = x[i] + k - radius
                    if 0 <= column < width:
                        v = <double>image[row, column] - sky[i]
                        if number is float or number is double:
                            v = v if isfinite(v) else 0.0
                        stamps[i, j, k] = v
    return out


def window_moments(const double[:, :, ::1] stamps, const double[::1] dx, const double[::1] dy,
                   const double[::1] sigma):
    cdef Py_ssize_t n = stamps.shape[0], size = stamps.shape[1], radius = size // 2, i, j, k
    cdef double t, w, s, s0, s1, s2, m00, m10, m01, m20, m02, m11, mx, my, xx, yy, xy, det, a, b, c, det_inverse
    out = np.empty((6, n))
    cdef double[:, ::1] result = out
    cdef double *weight = <double *>malloc(6 * size * sizeof(double))
    cdef double *wx = weight
    cdef double *wy = weight + 3 * size
    if weight == NULL:
        raise MemoryError
    with nogil:
        for i in range(n):
            for k in range(size):
                t = (k - radius) - dx[i]
                w = exp(-0.5 * (t / sigma[i]) * (t / sigma[i]))
                wx[k], wx[size + k], wx[2 * size + k] = w, w * t, w * t * t
                t = (k - radius) - dy[i]
                w = exp(-0.5 * (t / sigma[i]) * (t / sigma[i]))
                wy[k], wy[size + k], wy[2 * size + k] = w, w * t, w * t * t
            m00 = m10 = m01 = m20 = m02 = m11 = 0.0
            for j in range(size):
                s0 = s1 = s2 = 0.0
                for k in range(size):
                    s = stamps[i, j, k]
                    s0 += s * wx[k]
                    s1 += s * wx[size + k]
                    s2 += s * wx[2 * size + k]
                m00 += wy[j] * s0
                m10 += wy[j] * s1
                m20 += wy[j] * s2
                m01 += wy[size + j] * s0
                m11 += wy[size + j] * s1
                m02 += wy[2 * size + j] * s0
            result[0, i], result[1, i], result[2, i] = m00, m10, m01
            result[3, i] = result[4, i] = result[5, i] = NAN
            if not m00 > 0.0:
                continue
            mx, my = m10 / m00, m01 / m00
            xx, yy, xy = m20 / m00 - mx * mx, m02 / m00 - my * my, m11 / m00 - mx * my
            det = xx * yy - xy * xy
            if not det > 0.0:
                continue
            # The product of window and star is a Gaussian: its inverse covariance is the sum of theirs.
            a, b, c = yy / det - 1.0 / (sigma[i] * sigma[i]), -xy / det, xx / det - 1.0 / (sigma[i] * sigma[i])
            det_inverse = a * c - b * b
            if a > 0.0 and c > 0.0 and det_inverse > 0.0:
                result[3, i], result[4, i], result[5, i] = c / det_inverse, a / det_inverse, -b / det_inverse
    free(weight)
    return out
