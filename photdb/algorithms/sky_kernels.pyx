# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loop of `photdb.algorithms.sky`, compiled: the clipped medians, modes and planes of rings.

`sky_kernels.pyi` says what it takes and gives; what it means stands where it is called. Each ring is worked on by
itself: its bits do not depend on its company.
"""

from libc.math cimport INFINITY, ceil, fabs, frexp, isfinite, ldexp, rint, sqrt
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

import numpy as np

ctypedef fused real:
    float
    double

cdef enum:
    MIDDLE = 16384  # the key of the sample's median
    MEDIAN = 0  # as `photdb.algorithms.sky` numbers them
    MODE = 1
    PLANE = 2
    MOST_FITS = 30  # of a plane, until nothing more is clipped
    UNUSED = 65535  # of what is no sky: no pixel, or more than 384 quartile distances above the median


cdef real ranked(real *values, Py_ssize_t low, Py_ssize_t high, Py_ssize_t rank) noexcept nogil:
    """Find the value of a rank among those from low to high, and put the lower ones before it, the others behind.

    Hoare's selection. Values are parted without a branch that a processor could guess wrong.
    """
    cdef Py_ssize_t i, at
    cdef real a, b, c, pivot, value
    while high - low > 1:
        a, b, c = values[low], values[(low + high) // 2], values[high - 1]
        pivot = max(min(a, b), min(max(a, b), c))
        at = low
        for i in range(low, high):
            value = values[i]
            values[i] = values[at]
            values[at] = value
            at += value < pivot
        if rank < at:
            high = at
        elif at > low:
            low = at
        else:  # none is lower: those that are equal go first
            for i in range(low, high):
                value = values[i]
                values[i] = values[at]
                values[at] = value
                at += value == pivot
            if rank < at:
                return pivot
            low = at
    return values[low]


cdef inline int32_t whole_of(real value) noexcept nogil:
    """Cut a value down to a whole number of 32 bits; 0 if there is none, which then is another number."""
    return <int32_t>value if -2147483648.0 <= value and value < 2147483648.0 else 0


cdef int64_t as_keys(const real *values, Py_ssize_t n, uint16_t *keys, int32_t *least) noexcept nogil:
    """Take values less the lowest, if they are whole numbers of 16 bits; gives the highest then, else −1."""
    cdef Py_ssize_t i
    cdef int32_t whole, lowest = whole_of(values[0]), most = lowest, n_others = 0
    if <real>lowest != values[0]:
        return -1
    for i in range(n):
        whole = whole_of(values[i])
        n_others += <real>whole != values[i]
        lowest = min(lowest, whole)
        most = max(most, whole)
    if n_others or <int64_t>most - lowest > UNUSED:
        return -1
    least[0] = lowest
    for i in range(n):
        keys[i] = <uint16_t>(<int32_t>values[i] - lowest)
    return most - lowest


cdef int64_t ranked_key(const uint16_t *keys, Py_ssize_t n, int64_t high, Py_ssize_t rank) noexcept nogil:
    """Find the key of a rank by halving; to count them all each time is quick, as that is vector operations."""
    cdef Py_ssize_t i
    cdef int64_t low = 0, between
    cdef uint16_t limit, count
    while low < high:
        between = (low + high) // 2
        limit, count = <uint16_t>between, 0
        for i in range(n):
            count += keys[i] <= limit
        if count > rank:
            high = between
        else:
            low = between + 1
    return low


cdef real least_step(real *values, Py_ssize_t n) noexcept nogil:
    """Find the least difference of two values that are not equal, or 1; sorts them."""
    cdef Py_ssize_t i, j
    cdef real value, step = INFINITY
    for i in range(1, n):
        value = values[i]
        j = i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value
    for i in range(1, n):
        if values[i] > values[i - 1]:
            step = min(step, values[i] - values[i - 1])
    return step if isfinite(step) else 1.0


cdef void start_of(uint32_t *count, Py_ssize_t n) noexcept nogil:
    """Turn the numbers of digits into where the first of each goes."""
    cdef Py_ssize_t i
    cdef uint32_t total = 0, own
    for i in range(n):
        own = count[i]
        count[i] = total
        total += own


cdef void sort_keys(uint16_t *keys, uint16_t *other, Py_ssize_t n) noexcept nogil:
    """Sort by the lower 6 bits, then by the upper 10; `other` has room for as many.

    Of most keys the upper 8 bits are the same: counting those, each would have to wait for the one before.
    """
    cdef uint32_t[64] low
    cdef uint32_t[1024] high
    cdef uint32_t *place
    cdef Py_ssize_t i, first, last
    cdef uint16_t least = keys[0], most = keys[0]
    for i in range(n):
        least, most = min(least, keys[i]), max(most, keys[i])
    first, last = least >> 6, most >> 6
    memset(low, 0, sizeof(low))
    memset(&high[first], 0, (last + 1 - first) * sizeof(uint32_t))
    for i in range(n):
        low[keys[i] & 63] += 1
        high[keys[i] >> 6] += 1
    start_of(low, 64)
    start_of(&high[first], last + 1 - first)
    for i in range(n):
        place = &low[keys[i] & 63]
        other[place[0]] = keys[i]
        place[0] += 1
    for i in range(n):
        place = &high[other[i] >> 6]
        keys[place[0]] = other[i]
        place[0] += 1


cdef double quantile(const uint16_t *keys, Py_ssize_t low, Py_ssize_t high, double fraction) noexcept nogil:
    """Find a quantile of sorted keys; equal ones count as spread half-way to their neighbours."""
    cdef double position = low + fraction * (high - low), below = 0.0, above
    cdef Py_ssize_t start = min(<Py_ssize_t>position, high - 1), stop = start
    cdef uint16_t key = keys[start]
    while start > low and keys[start - 1] == key:
        start -= 1
    while stop < high and keys[stop] == key:
        stop += 1
    if start > low:
        below = key - keys[start - 1]
    above = keys[stop] - key if stop < high else below
    if start == low:
        below = above
    return key + 0.5 * ((below + above) * ((position - start) / (stop - start)) - below)


cdef void clip_keys(const uint16_t *keys, Py_ssize_t n, double clip, double lower_fraction, double *centre,
                    double *mean, double *squares, Py_ssize_t *n_kept) noexcept nogil:
    """Clip sorted keys about their median; give it, the mean, the squares about the median, and how many are left."""
    cdef Py_ssize_t low = 0, high = n, before = -1, i
    cdef double reach, rest
    cdef int32_t whole
    cdef int64_t sum1 = 0
    cdef uint64_t sum2 = 0
    while high - low != before and high > low:
        before = high - low
        centre[0] = quantile(keys, low, high, 0.5)
        reach = clip * (centre[0] - quantile(keys, low, high, lower_fraction))
        while low < high and keys[low] < centre[0] - reach:
            low += 1
        while low < high and keys[high - 1] > centre[0] + reach:
            high -= 1
    whole = <int32_t>rint(centre[0])
    for i in range(low, high):  # whole numbers: exact
        sum1 += keys[i] - whole
        sum2 += <uint32_t>(keys[i] - whole) * <uint32_t>(keys[i] - whole)
    rest, n_kept[0] = centre[0] - whole, high - low
    squares[0] = <double>sum2 - 2.0 * rest * sum1 + (high - low) * rest * rest
    mean[0] = whole + <double>sum1 / max(high - low, 1)


cdef struct Ring:
    const int32_t *dy  # pixels that belong to it wherever the position is in its pixel, then those that may
    const int32_t *dx
    int32_t *offset  # from the central pixel
    Py_ssize_t n, n_certain, reach
    double inner2, outer2


cdef void ring_pixels(const real *stamp, Py_ssize_t height, Py_ssize_t width, double x, double y, const Ring *ring,
                      real *values) noexcept nogil:
    """Gather the pixels of a ring; infinity where there is none."""
    cdef Py_ssize_t column = <Py_ssize_t>rint(min(max(x, -1e6), 1e6)), i, j, k
    cdef Py_ssize_t row = <Py_ssize_t>rint(min(max(y, -1e6), 1e6))
    cdef const real *centre = stamp + row * width + column
    cdef double shift_x = column - x, shift_y = row - y, radius2, dx, dy
    cdef real nothing = INFINITY
    if ring.reach <= column < width - ring.reach and ring.reach <= row < height - ring.reach:
        for i in range(ring.n):
            values[i] = centre[ring.offset[i]]
    else:
        for i in range(ring.n):
            j, k = row + ring.dy[i], column + ring.dx[i]
            values[i] = stamp[j * width + k] if 0 <= j < height and 0 <= k < width else nothing
    for i in range(ring.n):
        values[i] = values[i] if values[i] == values[i] else nothing
    for i in range(ring.n_certain, ring.n):
        dx, dy = ring.dx[i] + shift_x, ring.dy[i] + shift_y
        radius2 = dx * dx + dy * dy
        values[i] = nothing if (radius2 < ring.inner2) | (radius2 >= ring.outer2) else values[i]


cdef void scale_of(const real *values, Py_ssize_t n, Py_ssize_t step, real *sample, uint16_t *keys,
                   real *middle, real *unit) noexcept nogil:
    """Find roughly the median of values, and a power of two 1/64 to 1/128 of their quartiles' distance."""
    cdef Py_ssize_t i = 0, n_sample = 0, last
    cdef real low, high, distance
    cdef int32_t least
    cdef int64_t highest
    cdef int exponent
    while i < n:
        sample[n_sample] = values[i]
        n_sample += fabs(values[i]) < INFINITY
        i += step
    middle[0], unit[0] = 0.0, 1.0 / 64.0
    if n_sample == 0:
        return
    last = n_sample - 1
    highest = as_keys(sample, n_sample, keys, &least)
    if highest >= 0:
        middle[0] = least + ranked_key(keys, n_sample, highest, last // 2)
        low = least + ranked_key(keys, n_sample, highest, last // 4)
        high = least + ranked_key(keys, n_sample, highest, last - last // 4)
    else:
        middle[0] = ranked(sample, 0, n_sample, last // 2)
        low = ranked(sample, 0, last // 2 + 1, last // 4)
        high = ranked(sample, last // 2, n_sample, last - last // 4)
    distance = high - low
    if distance == 0:  # more than half of them are equal
        distance = least_step(sample, n_sample)
    frexp(distance, &exponent)
    unit[0] = <real>ldexp(1.0, exponent - 7)


cdef void fit_plane(const real *values, const Ring *ring, double shift_x, double shift_y, double clip, double kept,
                    double *level, double *scatter, Py_ssize_t *n_kept) noexcept nogil:
    """Fit a plane by least squares to the pixels within `clip` standard deviations of it, until the same are left.

    It begins with a level and a standard deviation, of which clipping keeps the part `kept`. Gives the plane's value
    at the position, the deviation about it, and, as number of pixels, how many have a mean of that value's variance.
    """
    cdef double centre = level[0], a = 0.0, b = 0.0, c = 0.0, reach = clip * scatter[0], before = -1.0
    cdef double n, x, y, v, sx, sy, sxx, sxy, syy, sv, sxv, syv, svv, minor, det_x, det_y, determinant
    cdef Py_ssize_t i, fit
    n_kept[0] = 0
    for fit in range(MOST_FITS):
        n = sx = sy = sxx = sxy = syy = sv = sxv = syv = svv = 0.0
        for i in range(ring.n):
            x, y, v = ring.dx[i] + shift_x, ring.dy[i] + shift_y, values[i] - centre
            if fabs(v - a - b * x - c * y) <= reach:  # not what is infinite
                n += 1.0
                sx += x
                sy += y
                sxx += x * x
                sxy += x * y
                syy += y * y
                sv += v
                sxv += x * v
                syv += y * v
                svv += v * v
        if n == before:
            break
        before = n
        minor, det_x, det_y = sxx * syy - sxy * sxy, sx * syy - sxy * sy, sx * sxy - sxx * sy
        determinant = n * minor - sx * det_x + sy * det_y
        if not (n > 3.0 and determinant > 0.0):
            return
        a = (sv * minor - sx * (sxv * syy - sxy * syv) + sy * (sxv * sxy - sxx * syv)) / determinant
        b = (n * (sxv * syy - sxy * syv) - sv * det_x + sy * (sx * syv - sxv * sy)) / determinant
        c = (n * (sxx * syv - sxv * sxy) - sx * (sx * syv - sxv * sy) + sv * det_y) / determinant
        scatter[0] = sqrt(max(svv - a * sv - b * sxv - c * syv, 0.0) / (n - 3.0))
        reach = clip * scatter[0] / kept
        n_kept[0] = <Py_ssize_t>rint(determinant / minor) if minor > 0.0 else 0
    level[0] = centre + a


def ring_skies(const real[:, :, ::1] stamps, const int64_t[::1] items, const double[::1] x, const double[::1] y,
               const int32_t[::1] dy, const int32_t[::1] dx, Py_ssize_t n_certain, double inner, double outer,
               Py_ssize_t n_sample, double clip, double lower_fraction, double kept, int method):
    cdef Py_ssize_t n = items.shape[0], height = stamps.shape[1], width = stamps.shape[2], i, j, n_keys, n_kept
    cdef Py_ssize_t n_ring = dy.shape[0], step = max(1, n_ring // n_sample)
    cdef Ring ring = Ring(NULL, NULL, NULL, n_ring, n_certain, <Py_ssize_t>ceil(outer), inner * inner, outer * outer)
    cdef real middle, unit, per_unit, value
    cdef double centre, mean, squares, level, deviation
    sky, scatter, n_sky = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.int64)
    cdef double[::1] sky_view = sky, scatter_view = scatter
    cdef int64_t[::1] n_view = n_sky
    cdef real *values
    cdef real *sample
    cdef uint16_t *keys
    cdef uint16_t key
    if n == 0 or n_ring == 0 or height == 0 or width == 0:
        return sky, scatter, n_sky
    cdef double[::1] values_of = np.empty(2 * n_ring)  # they hold what they are cast to
    cdef int32_t[::1] offset_of = np.empty(n_ring, np.int32)
    cdef uint16_t[::1] keys_of = np.empty(2 * n_ring, np.uint16)
    values, keys = <real *>&values_of[0], &keys_of[0]
    sample = values + n_ring
    ring.dy, ring.dx, ring.offset = &dy[0], &dx[0], &offset_of[0]
    with nogil:
        for j in range(n_ring):
            ring.offset[j] = <int32_t>(dy[j] * width + dx[j])
        for i in range(n):
            ring_pixels(&stamps[items[i], 0, 0], height, width, x[i], y[i], &ring, values)
            scale_of(values, n_ring, step, sample, keys, &middle, &unit)
            per_unit = 1 / unit
            for j in range(n_ring):
                value = (values[j] - middle) * per_unit + <real>(MIDDLE + 0.5)
                value = value if value > 0 else 0
                values[j] = value if value < UNUSED else UNUSED
            n_keys = 0
            for j in range(n_ring):
                key = <uint16_t><int32_t>values[j]
                keys[n_keys] = key
                n_keys += key != UNUSED
            n_kept = 0
            if n_keys:
                sort_keys(keys, keys + n_ring, n_keys)
                clip_keys(keys, n_keys, clip, lower_fraction, &centre, &mean, &squares, &n_kept)
                if method == MODE:
                    centre = 3.0 * centre - 2.0 * mean
                level = middle + (centre - MIDDLE) * unit
                deviation = sqrt(squares / max(n_kept - 1, 1)) * unit
                if method == PLANE:
                    deviation = max(deviation / kept, <double>unit)
                    ring_pixels(&stamps[items[i], 0, 0], height, width, x[i], y[i], &ring, values)
                    fit_plane(values, &ring, rint(x[i]) - x[i], rint(y[i]) - y[i], clip, kept, &level, &deviation,
                              &n_kept)
                sky_view[i], scatter_view[i] = level, deviation
            n_view[i] = n_kept
    return sky, scatter, n_sky
