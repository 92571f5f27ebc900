#!/bin/sh
# The transit of HAT-P-32 b on 2017-12-20: from 142 frames to exported light curves, without a screen.
# Usage: hatp32.sh FRAMES [FOLDER]    (FRAMES: the folder of *.FITS; FOLDER: where the project goes, ./hatp32)
set -eu
frames=${1:?"usage: hatp32.sh FRAMES [FOLDER]"}
folder=${2:-hatp32}
mkdir -p "$folder"
export PHOTDB_PROJECT="$folder/hatp32.photdb"

photdb init "$frames"
# A 12-bit camera. The header has no gain; its times are local, with their offset, which photdb turns into UTC.
photdb set --saturation 3900
photdb qc
photdb shifts --max-residual 0.5

photdb select variable HAT-P-32 --at first 423.2 286.0
while read -r name x y; do
    photdb select reference "$name" --at first "$x" "$y"
done <<STARS
R1 347.0 214.4
R2 317.0 214.5
R3 619.4 160.8
R4 463.6 85.2
R5 552.0 51.0
R6 464.1 181.8
R7 420.1 113.8
R8 390.1 91.7
R9 401.6 131.5
R10 532.6 115.5
STARS

photdb measure --radii 2:7:0.5 --annulus 10 16
photdb check --aperture 4,10,16
photdb solve --weighting all
photdb export "$folder/export"
photdb status
