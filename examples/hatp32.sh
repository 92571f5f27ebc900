#!/bin/sh
# The transit of HAT-P-32 b on 2017-12-20: from 142 frames to exported light curves, without a screen.
# Usage: hatp32.sh FRAMES [FOLDER]    (FRAMES: the folder of *.FITS; FOLDER: where the project goes, ./hatp32)
set -eu
frames=${1:?"usage: hatp32.sh FRAMES [FOLDER]"}
folder=${2:-hatp32}
mkdir -p "$folder"
export PHOTDB_PROJECT="$folder/hatp32.photdb"

photdb init "$frames"
# A 12-bit camera. The header has no gain, which `check` estimates from the frames; its times are local, with their
# offset, which photdb turns into UTC.
photdb set --saturation 3900
# The telescope, for the scintillation that its errors hold: six inches, at 1268 m.
photdb set --aperture-diameter 0.152 --site -110.88 31.68 1268
photdb qc
photdb shifts --max-residual 0.5

photdb select variable HAT-P-32 --at first 423.2 286.0
# References, which are named R1, R2, …
photdb select reference \
    --at first 347.0 214.4 --at first 317.0 214.5 --at first 619.4 160.8 --at first 463.6 85.2 \
    --at first 552.0 51.0 --at first 464.1 181.8 --at first 420.1 113.8 --at first 390.1 91.7 \
    --at first 401.6 131.5 --at first 532.6 115.5

# Where it is in the sky, for barycentric times (the headers have the pointing only, 0.2° away)
photdb times HAT-P-32 --radec 02:04:10.28 +46:41:16.2

# The detector has many hot pixels, over which the field drifts: what they put into an aperture is taken out.
photdb measure --radii 2:7:0.5 --annulus 10 16 --hits mend
photdb check --aperture 4,10,16
photdb solve --weighting all
photdb export "$folder/export"
photdb status
