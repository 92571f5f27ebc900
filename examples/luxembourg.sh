#!/bin/sh
# The asteroid (2713) Luxembourg on 2018-10-18: from 22 frames to exported light curves, without a screen.
# Usage: luxembourg.sh FRAMES [FOLDER]    (FRAMES: the folder of *.fit; FOLDER: where the project goes, ./luxembourg)
set -eu
frames=${1:?"usage: luxembourg.sh FRAMES [FOLDER]"}
folder=${2:-luxembourg}
mkdir -p "$folder"
export PHOTDB_PROJECT="$folder/luxembourg.photdb"

photdb init "$frames"
# Stars begin to bend at 45,000 ADU. The frame that was lit has a sky of 24,000 ADU instead of 4,000.
photdb set --saturation 45000
photdb qc --max-background 10000
photdb shifts --max-residual 0.5

# Positions are 0-based pixels in the first and the last frame; they are snapped to the object under them.
photdb select asteroid Luxembourg --at first 602.3 465.8 --at last 603.1 449.2
# References, which are named R1, R2, …
photdb select reference \
    --at first 843.2 257.2 --at first 210.0 619.4 --at first 895.9 702.7 --at first 128.0 707.9 \
    --at first 828.5 356.6 --at first 768.4 802.4 --at first 636.4 894.7 --at first 607.1 103.0 \
    --at first 748.6 877.4 --at first 239.7 611.6 --at first 208.0 384.7 --at first 801.6 355.9

# The focus, and with it the width of the stars, changes a lot: larger apertures than usual.
photdb measure --radii 3:8:1 --annulus 16 26

# What `check` names is left out, until it names nothing more. The width of the stars is not the same over the field and
# changes with the focus, so references are judged in an aperture that holds most of their light.
while command=$(photdb check -q --aperture 6,16,26 | grep -o 'photdb reject .*' | head -n 1) && [ -n "$command" ]; do
    echo "+ $command"
    $command --reason "named by check"
done

photdb solve --weighting all
photdb export "$folder/export"
photdb status
