"""What each plot of a project shows: arrays read through the stages and drawn by the viewers; nothing is written."""
