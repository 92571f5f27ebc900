"""Other programs, one small file each: `measure(job)` gives fluxes, array (frame, source, aperture), NaN where none.

The sources are the stars, then the asteroids. What a file imports at its top is counted as its imports, apart from its
work. Each does what its program's documentation shows, with one more step for asteroids, which none of them follows:
their place is interpolated between the two ends, in the pixels of the first frame.
"""
