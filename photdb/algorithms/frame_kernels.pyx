# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops over pixels that numpy has no operation for, compiled.

`frame_kernels.pyi` says what each takes and gives. What they mean, and why, stands where they are called: `background`,
`frames`. Each result is computed from its own pixels in one fixed order.
"""

from libc.math cimport isnan
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

# --- pixels -----------------------------------------------------------------------------------------------------------
def swap_bytes(uint16_t[::1] words, uint16_t flip):
    cdef Py_ssize_t i
    for i in range(words.shape[0]):
        words[i] = <uint16_t>((words[i] << 8) | (words[i] >> 8)) ^ flip


# --- compressed tiles ----------------------------------------------------------------------------------------------
def rice_is_whole(const uint8_t[::1] tile, Py_ssize_t n_pixels, Py_ssize_t block, int pixel_bytes):
    # Bits of a block's number, its value for pixels that are not coded, and theirs.
    cdef int64_t number_bits = 3 if pixel_bytes == 1 else 4 if pixel_bytes == 2 else 5
    cdef int64_t plain = 6 if pixel_bytes == 1 else 14 if pixel_bytes == 2 else 25, pixel_bits = 8 * pixel_bytes
    cdef int64_t end = 8 * tile.shape[0], at = pixel_bits, k, number
    cdef Py_ssize_t i = 0, j, n
    while i < n_pixels:
        n = min(block, n_pixels - i)
        i += n
        if at + number_bits > end:
            return False
        number = 0
        for k in range(at, at + number_bits):
            number = 2 * number + (tile[k >> 3] >> (7 - (k & 7)) & 1)
        at += number_bits
        if number == plain + 1:
            at += n * pixel_bits
        elif number:  # else all are like the one before
            for j in range(n):
                while at < end and not tile[at >> 3] >> (7 - (at & 7)) & 1:
                    at += 1
                at += number  # the bit that ends the zeros, and one less than its number
                if at > end:
                    return False
        if at > end:
            return False
    return True


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
