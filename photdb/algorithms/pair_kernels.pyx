# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops over pairs of stars and shifts that numpy has no operation for, compiled.

`pair_kernels.pyi` says what each takes and gives. What they mean, and why, stands where they are called: `consensus`.
"""

from libc.math cimport floor, hypot
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free, malloc, realloc

import numpy as np


cdef inline double distance2(double complex one, double complex other) noexcept nogil:
    cdef double dx = one.real - other.real, dy = one.imag - other.imag
    return dx * dx + dy * dy


# --- pairs of stars ---------------------------------------------------------------------------------------------------
def pairs_near(const double complex[::1] z, const double complex[::1] z_to, double within_px):
    cdef Py_ssize_t n = z.shape[0], m = z_to.shape[0], i, k, low, high, middle, first
    cdef Py_ssize_t count = 0, room = 16 * n + m
    cdef double limit = within_px * within_px, low_x, high_x
    cdef int64_t place
    cdef const int64_t[::1] by_x = np.asarray(z_to).real.argsort()
    cdef int64_t *found = <int64_t *>malloc(2 * room * sizeof(int64_t) + 1)
    cdef int64_t *more
    try:
        if found == NULL:
            raise MemoryError
        for i in range(n):
            low_x, high_x = z[i].real - within_px, z[i].real + within_px
            low, high = 0, m
            while low < high:
                middle = (low + high) // 2
                if z_to[by_x[middle]].real < low_x:
                    low = middle + 1
                else:
                    high = middle
            if count + m > room:
                room = 2 * room + m
                more = <int64_t *>realloc(found, 2 * room * sizeof(int64_t))
                if more == NULL:
                    raise MemoryError
                found = more
            first = count
            while low < m and z_to[by_x[low]].real < high_x:
                place = by_x[low]
                low += 1
                if distance2(z[i], z_to[place]) < limit:
                    k = count  # into its place among those of this star
                    while k > first and found[2 * k - 1] > place:
                        found[2 * k + 1] = found[2 * k - 1]
                        k -= 1
                    found[2 * count], found[2 * k + 1] = i, place
                    count += 1
        if count == 0:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        one, other = np.array(<int64_t[:count, :2]>found).T.copy()
        return one, other
    finally:
        free(found)


def each_others_nearest(
    const double complex[::1] z,
    const double complex[::1] z_to,
    const int64_t[::1] i,
    const int64_t[::1] j,
    double within_px,
):
    cdef Py_ssize_t n = i.shape[0], k, kept = 0
    cdef double limit = within_px * within_px
    indices, distances = np.empty((2, n), np.int64), np.empty(n)
    cdef int64_t[:, ::1] out = indices
    cdef double[::1] d2 = distances
    # the nearest pair of each star, from 1; 0: none is near enough
    cdef int64_t *best = <int64_t *>calloc(z.shape[0] + z_to.shape[0] + 1, sizeof(int64_t))
    cdef int64_t *best_to = best + z.shape[0]
    if best == NULL:
        raise MemoryError
    for k in range(n):
        d2[k] = distance2(z[i[k]], z_to[j[k]])
        if d2[k] < limit:  # of equally near ones the first
            if best[i[k]] == 0 or d2[k] < d2[best[i[k]] - 1]:
                best[i[k]] = k + 1
            if best_to[j[k]] == 0 or d2[k] < d2[best_to[j[k]] - 1]:
                best_to[j[k]] = k + 1
    for k in range(n):
        if best[i[k]] == k + 1 and best_to[j[k]] == k + 1:
            out[0, kept], out[1, kept], d2[kept] = i[k], j[k], d2[k]
            kept += 1
    free(best)
    return indices[0, :kept].copy(), indices[1, :kept].copy(), distances[:kept].copy()


def n_between(
    const double complex[::1] z,
    const double complex[::1] z_to,
    const int64_t[::1] i,
    const int64_t[::1] j,
    double inner_px,
    double outer_px,
):
    cdef Py_ssize_t k, n = 0
    cdef double inner = inner_px * inner_px, outer = outer_px * outer_px, d2
    for k in range(i.shape[0]):
        d2 = distance2(z[i[k]], z_to[j[k]])
        n += d2 < outer and not d2 < inner
    return n


def least_squares(
    const double complex[::1] z, const double complex[::1] z_ref, const double[::1] weight, double scale_information
):
    cdef Py_ssize_t k, n = z.shape[0]
    cdef double total = 0.0, information = 0.0, scale, arm_x, arm_y
    cdef double x = 0.0, y = 0.0, x_ref = 0.0, y_ref = 0.0, along = 0.0, across = 0.0
    for k in range(n):
        total += weight[k]
        x += weight[k] * z[k].real
        y += weight[k] * z[k].imag
        x_ref += weight[k] * z_ref[k].real
        y_ref += weight[k] * z_ref[k].imag
    x, y, x_ref, y_ref = x / total, y / total, x_ref / total, y_ref / total
    for k in range(n):
        arm_x, arm_y = z_ref[k].real - x_ref, z_ref[k].imag - y_ref
        information += weight[k] * (arm_x * arm_x + arm_y * arm_y)
        along += weight[k] * (arm_x * z[k].real + arm_y * z[k].imag)
        across += weight[k] * (arm_x * z[k].imag - arm_y * z[k].real)
    along, across = along / information, across / information
    scale = hypot(along, across)
    scale = (scale * information + scale_information) / (information + scale_information) / scale
    along, across = along * scale, across * scale
    return complex(along, across), complex(x - along * x_ref + across * y_ref, y - along * y_ref - across * x_ref)


# --- votes ------------------------------------------------------------------------------------------------------------
def votes(const double[:, ::1] place, int n_turns, Py_ssize_t size):
    cdef Py_ssize_t n = place.shape[1], k
    cdef int64_t turn, right, down
    cdef double offset
    counts = np.zeros(n, np.int64)
    cdef int64_t[::1] count = counts
    cdef int64_t *table = <int64_t *>malloc((size + n + 1) * sizeof(int64_t))
    cdef int64_t *cell = table + size
    if table == NULL:
        raise MemoryError
    for offset in (0.25, 0.75):  # two grids: what an edge of one divides, the other mostly keeps
        for k in range(size):
            table[k] = 0
        for k in range(n):
            turn = <int64_t>floor(place[0, k] + offset) % n_turns
            turn += n_turns if turn < 0 else 0
            right = <int64_t>floor(place[1, k] + offset)
            down = <int64_t>floor(place[2, k] + offset)
            # cells share places of the table: a false neighbour now and then does no harm
            cell[k] = (turn * 73856093 ^ right * 19349663 ^ down * 83492791) & (size - 1)
            table[cell[k]] += 1
        for k in range(n):
            count[k] += table[cell[k]]
    free(table)
    return counts


def n_near_star(const double complex[:, ::1] at, const unsigned char[:, ::1] near, double scale, double x0, double y0):
    cdef Py_ssize_t s, k, n
    cdef double row, column, last_row = near.shape[0] - 1, last_column = near.shape[1] - 1
    counts = np.empty(at.shape[0], np.int64)
    cdef int64_t[::1] count = counts
    for s in range(at.shape[0]):
        n = 0
        for k in range(at.shape[1]):
            row, column = at[s, k].imag * scale + y0, at[s, k].real * scale + x0
            row = last_row if row > last_row else row if row > 0 else 0  # so that NaN too is inside
            column = last_column if column > last_column else column if column > 0 else 0
            n += near[<Py_ssize_t>row, <Py_ssize_t>column]
        count[s] = n
    return counts
