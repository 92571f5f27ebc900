# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops of `photdb.algorithms.gaussian`, compiled: least-squares fits of a Gaussian.

`gaussian_kernels.pyi` says what `fit` takes and gives; what it means stands where it is called. Each box is fitted by
itself: its bits do not depend on its company.
"""

from libc.math cimport exp, fabs, rint
from libc.stdint cimport int64_t, uint8_t

import numpy as np

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
    double[N] gradient  # halves of both, after amplitude, A x/σx, A y/σy, A σx/σx, A σy/σy, background
    double[N][N] curvature


cdef void basis(double centre, double sigma, Py_ssize_t size, double *out) noexcept nogil:
    """Compute the four functions: from pixel to pixel e changes by a factor that itself changes by a constant one."""
    cdef double at = rint((size - 1) / 2 + centre)
    cdef Py_ssize_t i, nearest = <Py_ssize_t>at if 0.0 < at < size else 0 if not at >= size else size - 1  # NaN: 0
    cdef double per_sigma = 1.0 / sigma, u = (nearest - (size - 1) / 2 - centre) * per_sigma
    cdef double narrow = exp(-per_sigma * per_sigma)
    cdef double up = exp(-(u + 0.5 * per_sigma) * per_sigma), down = exp((u - 0.5 * per_sigma) * per_sigma)
    out[4 * nearest] = exp(-0.5 * u * u)
    for i in range(nearest + 1, size):
        out[4 * i] = out[4 * i - 4] * up
        up *= narrow
    for i in range(nearest - 1, -1, -1):
        out[4 * i] = out[4 * i + 4] * down
        down *= narrow
    for i in range(size):
        u = (i - (size - 1) / 2 - centre) * per_sigma
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
    cdef double[::1] buffer = np.empty(size * size + 8 * size)
    cdef double *pixel = &buffer[0]
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
    return parameters_out, converged_out, n_out, significance_out
