# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops of centroids, compiled: local maxima, boxes around them, fits of a Gaussian.

`centroid_kernels.pyi` says what each takes and gives; what they mean stands in `centroid` and `gaussian`. Each stamp is
worked on by itself: its bits do not depend on its company.
"""

from libc.math cimport INFINITY, NAN, exp, fabs, isnan, rint, sqrt
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, malloc

import numpy as np

ctypedef fused real:
    float
    double


cdef double *memory(Py_ssize_t n) except NULL:
    cdef double *got = <double *>malloc(max(n, 1) * sizeof(double))
    if got == NULL:
        raise MemoryError
    return got


# --- boxes ------------------------------------------------------------------------------------------------------------
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
    cdef double distance2, limit2, best, best_distance2, value
    cdef bint near, best_near
    cdef const double *around
    x_out, y_out, found_out = np.empty(n, np.int64), np.empty(n, np.int64), np.zeros(n, np.bool_)
    cdef int64_t[::1] x_peak = x_out, y_peak = y_out
    cdef uint8_t[::1] found = found_out.view(np.uint8)
    cdef Py_ssize_t n_box = (size + 4) * (size + 4)
    cdef double *box = memory(4 * n_box + 3 * (size + 4))
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
                    distance2 = (y_first + j - y[i]) * (y_first + j - y[i]) + (x_first + k - x[i]) * (x_first + k - x[i])
                    near = distance2 <= limit2
                    if near < best_near:
                        continue
                    # Plateaus of equal values (integers, saturation): the nearest pixel, then the first.
                    if near > best_near or value > best or (value == best and distance2 < best_distance2):
                        best_near, best, best_distance2 = near, value, distance2
                        x_peak[i], y_peak[i], found[i] = x_first + k, y_first + j, True
    free(box)
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
    cdef double *box = memory(2 * wide * wide + 2 * size * size + 3 * wide)
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
    free(box)
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


# --- fits -------------------------------------------------------------------------------------------------------------
cdef enum:
    N = 6  # amplitude, x, y, sigma_x, sigma_y, background
    MAX_ITERATIONS = 25

cdef double STEP_PX = 2e-4, STEP_SIGMA = 1e-3
# Which function of x and which of y make the derivative after a parameter.
cdef Py_ssize_t[N] IN_X = [0, 1, 0, 2, 0, 3]
cdef Py_ssize_t[N] IN_Y = [0, 0, 1, 0, 2, 3]


cdef struct Box:
    const double *pixel  # less their mean; 0 where they are not usable
    const double *weight  # 1 or 0; NULL: all 1
    double *in_x  # four functions of each column: e, u e, u² e and 1, with u = (x − x0)/σx and e = exp(−u²/2)
    double *in_y  # and of each row
    Py_ssize_t size


cdef struct Model:
    double[N] p
    double chi2
    double[N] gradient  # half of it, and of the curvature, after amplitude, A x/σx, A y/σy, A σx/σx, A σy/σy, background
    double[N][N] curvature


cdef void basis(double centre, double sigma, Py_ssize_t size, double *out) noexcept nogil:
    cdef Py_ssize_t i
    cdef double u
    for i in range(size):
        u = (i - (size - 1) / 2 - centre) / sigma
        out[4 * i] = exp(-0.5 * u * u)
        out[4 * i + 1] = u * out[4 * i]
        out[4 * i + 2] = u * out[4 * i + 1]
        out[4 * i + 3] = 1.0


cdef void products(const double *functions, const double *weight, Py_ssize_t size, double[4][4] out) noexcept nogil:
    """Sum the products of each two of the four functions."""
    cdef Py_ssize_t i, j, k
    cdef double w
    for j in range(4):
        for k in range(4):
            out[j][k] = 0.0
    for i in range(size):
        w = 1.0 if weight == NULL else weight[i]
        for j in range(4):
            for k in range(4):
                out[j][k] += w * functions[4 * i + j] * functions[4 * i + k]


cdef void evaluate(const Box *box, Model *model) noexcept nogil:
    """Compute the sum of squares at the parameters, and half its gradient and curvature."""
    cdef Py_ssize_t x, y, i, j, size = box.size
    cdef double residual, height
    cdef double[4] row
    cdef double[4][4] xx, yy
    cdef const double *in_x = box.in_x
    cdef const double *in_y = box.in_y
    basis(model.p[1], model.p[3], size, box.in_x)
    basis(model.p[2], model.p[4], size, box.in_y)
    model.chi2 = 0.0
    for i in range(N):
        model.gradient[i] = 0.0
        for j in range(N):
            model.curvature[i][j] = 0.0
    for y in range(size):
        height = model.p[0] * in_y[4 * y]
        for i in range(4):
            row[i] = 0.0
        for x in range(size):
            residual = box.pixel[y * size + x] - (height * in_x[4 * x] + model.p[5])
            if box.weight != NULL:
                residual *= box.weight[y * size + x]
            model.chi2 += residual * residual
            for i in range(4):
                row[i] += residual * in_x[4 * x + i]
        for i in range(N):
            model.gradient[i] += row[IN_X[i]] * in_y[4 * y + IN_Y[i]]
        if box.weight != NULL:
            products(in_x, box.weight + y * size, size, xx)
            for i in range(N):
                for j in range(N):
                    model.curvature[i][j] += xx[IN_X[i]][IN_X[j]] * (in_y[4 * y + IN_Y[i]] * in_y[4 * y + IN_Y[j]])
    if box.weight == NULL:
        products(in_x, NULL, size, xx)
        products(in_y, NULL, size, yy)
        for i in range(N):
            for j in range(N):
                model.curvature[i][j] = xx[IN_X[i]][IN_X[j]] * yy[IN_Y[i]][IN_Y[j]]


cdef void solve(Model *model, double damping, double *step) noexcept nogil:
    """Solve the damped normal equations: never singular, and as they are positive definite without pivots."""
    cdef double[N][N] a = model.curvature
    cdef double[N] per_pivot
    cdef double factor
    cdef Py_ssize_t p, q, k
    for p in range(N):
        a[p][p] = a[p][p] * (1.0 + damping) + 1e-12
        step[p] = model.gradient[p]
    for p in range(N):
        per_pivot[p] = 1.0 / a[p][p]
        for q in range(p + 1, N):
            factor = a[q][p] * per_pivot[p]
            for k in range(p + 1, N):
                a[q][k] -= factor * a[p][k]
            step[q] -= factor * step[p]
    for p in range(N - 1, -1, -1):
        for q in range(p + 1, N):
            step[p] -= a[p][q] * step[q]
        step[p] *= per_pivot[p]


cdef bint minimise(const Box *box, Model *best) noexcept nogil:
    """Fit from the parameters that are there; says whether it converged."""
    cdef Model trial
    cdef double[N] step
    cdef double damping = 1e-3, sigma = best.p[3], per_amplitude
    cdef int iteration, i
    cdef bint inside
    evaluate(box, best)
    for iteration in range(MAX_ITERATIONS):
        solve(best, damping, step)
        per_amplitude = 1.0 / (best.p[0] if fabs(best.p[0]) > 1e-12 else 1e-12)
        for i in range(1, 5):
            step[i] *= best.p[3 + (i - 1) % 2] * per_amplitude
        for i in range(N):
            trial.p[i] = best.p[i] + step[i]
        # a step that only the damping makes small is no convergence
        if (damping < 1.0 and fabs(step[1]) < STEP_PX and fabs(step[2]) < STEP_PX
                and fabs(step[3]) < STEP_SIGMA * best.p[3] and fabs(step[4]) < STEP_SIGMA * best.p[4]):
            best.p = trial.p
            return True
        if damping >= 1e8 or iteration == MAX_ITERATIONS - 1:
            return False
        inside = fabs(trial.p[1]) < box.size and fabs(trial.p[2]) < box.size
        for i in range(3, 5):
            inside = inside and 0.2 * sigma < trial.p[i] < 5.0 * sigma
        if inside:
            evaluate(box, &trial)
            inside = trial.chi2 <= best.chi2
        if inside:
            best[0] = trial
        damping *= 0.1 if inside else 10.0
    return False


def fit(const double[:, :, ::1] boxes, const double[:, :, ::1] usable, const double[::1] x, const double[::1] y,
        const double[::1] sigma, Py_ssize_t min_pixels):
    cdef Py_ssize_t n = boxes.shape[0], size = boxes.shape[1], n_pixels, i, j
    cdef double mean, constant, total, squares, product, value
    cdef double *pixel = memory(size * size + 8 * size)
    cdef Box box = Box(pixel, NULL, pixel + size * size, pixel + size * size + 4 * size, size)
    cdef Model model
    parameters_out, converged_out = np.empty((6, n)), np.zeros(n, np.bool_)
    n_out, significance_out = np.empty(n, np.int64), np.empty(n)
    cdef double[:, ::1] parameters = parameters_out
    cdef uint8_t[::1] converged = converged_out.view(np.uint8)
    cdef int64_t[::1] n_view = n_out
    cdef double[::1] significance = significance_out
    cdef const double *weight
    with nogil:
        for i in range(n):
            weight = &usable[i, 0, 0]
            mean, constant, n_pixels = 0.0, 0.0, 0
            for j in range(size * size):
                mean += (&boxes[i, 0, 0])[j]
                n_pixels += weight[j] > 0
            mean /= max(n_pixels, 1)
            # Subtracting the mean first keeps the digits of a small star on a high sky.
            for j in range(size * size):
                pixel[j] = ((&boxes[i, 0, 0])[j] - mean) * weight[j]
                constant += pixel[j] * pixel[j]
            # The best amplitude and background at the start's position and width.
            total, squares, product = 0.0, 0.0, 0.0
            basis(x[i], sigma[i], size, box.in_x)
            basis(y[i], sigma[i], size, box.in_y)
            for j in range(size * size):
                value = box.in_y[4 * (j // size)] * box.in_x[4 * (j % size)] * weight[j]
                total += value
                squares += value * value
                product += value * pixel[j]
            squares -= total * total / max(n_pixels, 1)
            model.p = [product / max(squares, 1e-12), x[i], y[i], sigma[i], sigma[i], 0.0]
            model.p[5] = -model.p[0] * total / max(n_pixels, 1)
            model.chi2 = constant
            box.weight = weight if n_pixels < size * size else NULL
            if n_pixels >= min_pixels:
                converged[i] = minimise(&box, &model)
            for j in range(N):
                parameters[j, i] = model.p[j]
            parameters[5, i] += mean
            n_view[i] = n_pixels
            significance[i] = (constant - model.chi2) / 5.0 / max(
                max(model.chi2, 1e-20 * constant) / max(n_pixels - N, 1), 1e-300
            )
    free(pixel)
    return parameters_out, converged_out, n_out, significance_out
