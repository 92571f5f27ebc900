# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops over the local maxima of a frame that numpy has no operation for, compiled.

`candidate_kernels.pyi` says what each takes and gives. What they mean, and why, stands where they are called:
`detection`. Each result is computed from its own pixels in one fixed order.
"""

from libc.math cimport INFINITY, fabs, floor, isfinite, rint, sqrt
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
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
    BAND = 32  # rows that share a threshold,
    STRIP = 8  # and columns that do


cdef struct Criteria:
    double n_sigmas, full_adu, max_ridge, min_around, min_across
    Py_ssize_t reach  # of the ring along an axis, at most
    Py_ssize_t[RING] ring_y, ring_x, offset


cdef struct Candidate:
    double x, y, sky, height, full


cdef struct Tiles:  # the sky at their centres, and between which of them each column lies
    const double *level
    const double *scatter
    Py_ssize_t across
    const int64_t *left
    const int64_t *right
    const double *part
    double *level_row  # of the row of pixels that is looked at
    double *scatter_row


cdef double between(double low, double high, double part) noexcept nogil:
    return low + part * (high - low)


cdef void go_to_row(Tiles *sky, Py_ssize_t below, Py_ssize_t above, double part) noexcept nogil:
    """Interpolate between rows of tiles; outside, the level goes on linearly, the scatter is constant."""
    cdef Py_ssize_t i
    below, above = below * sky.across, above * sky.across
    for i in range(sky.across):
        sky.level_row[i] = between(sky.level[below + i], sky.level[above + i], part)
        sky.scatter_row[i] = between(sky.scatter[below + i], sky.scatter[above + i], min(max(part, 0.0), 1.0))


cdef void look_at(const Tiles *sky, Py_ssize_t x, double *level, double *scatter) noexcept nogil:
    cdef Py_ssize_t left = sky.left[x], right = sky.right[x]
    level[0] = between(sky.level_row[left], sky.level_row[right], sky.part[x])
    scatter[0] = between(sky.scatter_row[left], sky.scatter_row[right], min(max(sky.part[x], 0.0), 1.0))


cdef void limits_of_band(Tiles *sky, Py_ssize_t y, Py_ssize_t height, const int64_t[:, ::1] tiles_y,
                         const double[::1] part_y, double n_sigmas, Py_ssize_t width, number lowest, number highest,
                         number *limit) noexcept nogil:
    """Give what the pixels of a band of rows must exceed, the same over a strip of columns."""
    cdef Py_ssize_t middle = min(y // BAND * BAND + BAND // 2, height - 1), strip, x
    cdef double level, scatter, value
    cdef number here
    go_to_row(sky, tiles_y[0, middle], tiles_y[1, middle], part_y[middle])
    for strip in range((width + STRIP - 1) // STRIP):
        look_at(sky, min(strip * STRIP + STRIP // 2, width - 1), &level, &scatter)
        value = level + n_sigmas * scatter
        if number is not float and number is not double:
            value = floor(value)
        here = lowest if value <= lowest else highest if value >= highest else <number>value
        for x in range(strip * STRIP, min((strip + 1) * STRIP, width)):
            limit[x] = here


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
    cdef Py_ssize_t k
    cdef bint found = False
    cdef number over = 0
    if number is float or number is double:
        for k in range(RUN):
            found |= row[k] > limit[k]
        return found
    else:  # without branches, here and below: the compiler makes vector operations of it
        for k in range(RUN):
            over |= (row[k] if row[k] > limit[k] else limit[k]) ^ limit[k]
        return over != 0


cdef Py_ssize_t maxima_of_run(const number *row, const number *limit, Py_ssize_t width, Py_ssize_t n,
                              int32_t *found, int32_t start) noexcept nogil:
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
                found[n_found] = start + k
                n_found += mark[k]
    return n_found


cdef void runs_of_row(const number *row, const number *limit, Py_ssize_t width, uint8_t *bright) noexcept nogil:
    """Say which whole runs of a row, from its second pixel on, hold one above its limit."""
    cdef Py_ssize_t run
    for run in range((width - 2) // RUN):
        bright[run] = any_above(row + 1 + run * RUN, limit + 1 + run * RUN)


cdef Py_ssize_t maxima_of_row(const number *row, const number *limit, Py_ssize_t width, const uint8_t *bright,
                              int32_t *found) noexcept nogil:
    """Find where in a row, whose bright runs are known, the local maxima are."""
    cdef Py_ssize_t run, x, n = 0, n_runs = (width - 2) // RUN
    for run in range(n_runs):
        if bright[run]:
            x = 1 + run * RUN
            n += maxima_of_run(row + x, limit + x, width, RUN, found + n, x)
    x = 1 + n_runs * RUN
    return n + maxima_of_run(row + x, limit + x, width, width - 1 - x, found + n, x)


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


def candidates(const number[:, ::1] image, number lowest, number highest,
               const double[:, ::1] level, const double[:, ::1] scatter,
               const int64_t[:, ::1] tiles_y, const double[::1] part_y,
               const int64_t[:, ::1] tiles_x, const double[::1] part_x,
               const int64_t[:, ::1] ring, double pixel_sigmas, double n_sigmas, double full_adu, double max_ridge,
               double min_around, double min_across):
    cdef Py_ssize_t height = image.shape[0], width = image.shape[1]
    cdef Py_ssize_t x, y, i, judged, n = 0, n_maxima = 0, room = 4096, out_room = 1024
    cdef double here, rough
    cdef Criteria want
    if ring.shape[0] != RING:
        raise ValueError(f"the ring must have {RING} points")
    if height < 3 or width < 3:
        return np.empty((0, 5))
    want.n_sigmas, want.full_adu, want.max_ridge = n_sigmas, full_adu, max_ridge
    want.min_around, want.min_across = min_around, min_across
    want.reach = 0
    for i in range(RING):
        want.ring_y[i], want.ring_x[i] = ring[i, 0], ring[i, 1]
        want.offset[i] = ring[i, 0] * width + ring[i, 1]
        want.reach = max(want.reach, abs(ring[i, 0]), abs(ring[i, 1]))
    cdef double[:, ::1] sky_row = np.empty((2, level.shape[1]))
    cdef Tiles sky = Tiles(&level[0, 0], &scatter[0, 0], level.shape[1], &tiles_x[0, 0], &tiles_x[1, 0], &part_x[0],
                           &sky_row[0, 0], &sky_row[1, 0])
    cdef number[:, ::1] limit = np.empty((2, width), np.asarray(image).dtype)  # what pixels must exceed: of two bands,
    cdef uint8_t[:, ::1] bright = np.empty((2, width), np.uint8)  # and the bright runs of two rows
    cdef Py_ssize_t[::1] first = np.zeros(height + 1, np.intp)  # of the maxima of each row
    cdef int32_t *maxima = <int32_t *>malloc(room * sizeof(int32_t))  # their x
    cdef Candidate *out = <Candidate *>malloc(out_room * sizeof(Candidate))
    if maxima == NULL or out == NULL:
        free(maxima)
        free(out)
        raise MemoryError
    with nogil:
        for y in range(0, height - 1 + want.reach):
            if y < height - 2:
                # The next row first: read in order, it comes from memory in time.
                i = y + 1
                if i == 1 or i % BAND == 0:
                    limits_of_band(&sky, i, height, tiles_y, part_y, pixel_sigmas, width, lowest, highest,
                                   &limit[i // BAND % 2, 0])
                runs_of_row(&image[i, 0], &limit[i // BAND % 2, 0], width, &bright[i % 2, 0])
            if 0 < y < height - 1:
                if n_maxima + width + RUN > room:
                    room = 2 * room + width + RUN
                    maxima = <int32_t *>grown(maxima, room * sizeof(int32_t))
                n_maxima += maxima_of_row(&image[y, 0], &limit[y // BAND % 2, 0], width, &bright[y % 2, 0],
                                          maxima + n_maxima)
                first[y + 1] = n_maxima
            # Judged when all rows that count have passed: they are in the cache then.
            judged = y - want.reach
            if judged < 1 or first[judged] == first[judged + 1]:
                continue
            if n + width > out_room:
                out_room = 2 * out_room + width
                out = <Candidate *>grown(out, out_room * sizeof(Candidate))
            go_to_row(&sky, tiles_y[0, judged], tiles_y[1, judged], part_y[judged])
            for i in range(first[judged], first[judged + 1]):
                x = maxima[i]
                look_at(&sky, x, &here, &rough)
                n += is_candidate(&image[0, 0], height, width, judged, x, here, rough, &want, &out[n])
    free(maxima)
    result = np.empty((n, 5))
    cdef double[:, ::1] view = result
    if n:
        memcpy(&view[0, 0], out, n * sizeof(Candidate))
    free(out)
    return result


# --- neighbours -------------------------------------------------------------------------------------------------------
def joined(const number[:, ::1] image, const double[::1] x, const double[::1] y, const double[::1] sky,
           const double[::1] height, double near, double reach, double valley):
    cdef Py_ssize_t n = x.shape[0], width = image.shape[1], i, j, k, column, bright, faint
    cdef double dx, dy, d2, light
    cdef bint together
    out = np.zeros(n, np.bool_)
    cdef uint8_t[::1] mark = out.view(np.uint8)
    cdef int32_t[::1] last = np.full(width, -1, np.int32)  # of the maxima so far in each column,
    cdef int32_t[::1] last_y = np.full(width, -(2**30), np.int32)  # where that is,
    cdef int32_t[::1] previous = np.empty(n, np.int32)  # and in that column the one before each
    cdef int32_t far = <int32_t>reach, here, lowest
    with nogil:
        for i in range(n):
            here, lowest = <int32_t>x[i], <int32_t>y[i] - far
            for column in range(max(here - far, 0), min(here + far + 1, width)):
                if last_y[column] < lowest:
                    continue
                j = last[column]
                while j >= 0 and y[j] >= lowest:
                    bright, faint = (i, j) if height[i] > height[j] else (j, i)
                    dx, dy = x[bright] - x[faint], y[bright] - y[faint]
                    d2 = dx * dx + dy * dy
                    if d2 < near * near:
                        mark[faint] = True
                    elif d2 <= reach * reach and not mark[faint]:
                        together = True
                        for k in range(1, 4):
                            light = image[<Py_ssize_t>rint(y[faint] + 0.25 * k * dy),
                                          <Py_ssize_t>rint(x[faint] + 0.25 * k * dx)]
                            together = together and light - sky[faint] > valley * height[faint]
                        mark[faint] = together
                    j = previous[j]
            previous[i] = last[here]
            last[here], last_y[here] = i, <int32_t>y[i]
    return out


cdef inline Py_ssize_t cell_of(double place, Py_ssize_t n) noexcept nogil:
    """Give the cell of a place; that at the end for what lies outside, the first for NaN."""
    return 0 if not place > 0.0 else n - 1 if place >= n else <Py_ssize_t>place


def spread(const double[:] x, const double[:] y, double side, Py_ssize_t n_across, Py_ssize_t n_down, Py_ssize_t n):
    cdef Py_ssize_t n_places = x.shape[0], i, k, cell, quota, n_filled = 0, n_first = 0, turn
    chosen = np.empty(min(n, n_places), np.int64)
    cdef int64_t[::1] out = chosen
    cdef int32_t[::1] count = np.zeros(n_across * n_down, np.int32)
    cdef int32_t[::1] place = np.empty(n_places, np.int32)  # within its cell, 0 the brightest
    for i in range(n_places):
        cell = cell_of(y[i] / side, n_down) * n_across + cell_of(x[i] / side, n_across)
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
    return chosen
