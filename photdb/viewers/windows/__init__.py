"""Windows to decide in by mouse and keyboard: on a desktop through any of matplotlib's GUI backends, or in a browser.

`window.Window` is what all of them share: layout, layers that are redrawn alone, gestures, keys, undo, saving;
`frame_window.FrameWindow` shows frames besides. `screen.show` opens one and gives what was saved, or None.

A window has two halves. Its state is a plain value with functions that give another one (as in `picks`): they know
nothing of matplotlib, are tested without a screen, and say what the state is in commands as they are typed. The window
itself draws the state (`build`, `place`, `refresh`) and turns gestures into calls of `change`. Who opens it, in
`photdb.cli`, reads the project before, closes it, and gives a `save` that writes everything in one transaction, with a
row of `history` (`Project.record`) for each command that would have done the same.
"""
