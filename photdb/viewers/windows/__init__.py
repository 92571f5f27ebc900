"""Windows to decide in by mouse and keyboard: on a desktop through any of matplotlib's GUI backends, or in a browser.

`window.Window` is what all of them share: layout, layers that are redrawn alone, gestures, keys, undo, saving.
`screen.show` opens one. What a window decides is plain values, changed by functions that know nothing of matplotlib.
"""
