#!/bin/sh
# Makes the pictures of the README in this folder: two real nights and a simulated one, through photdb's own commands.
# Usage: pictures.sh NIGHTS    (NIGHTS: the folder that holds luxembourg/ and hatp32/, the frames of the examples)
# The page of the report is photographed where there is a Chromium.
# No pixel of the real nights is shown: they are not ours to publish. demo_select.png and demo_check_window.png are
# photographs of `photdb select` and `photdb check --interactive` on `photdb demo --full`, taken by hand.
set -eu
nights=${1:?"usage: pictures.sh NIGHTS"}
docs=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sh "$docs/../examples/luxembourg.sh" "$nights/luxembourg" "$work/luxembourg"
sh "$docs/../examples/hatp32.sh" "$nights/hatp32" "$work/hatp32"
photdb demo "$work/demo"

plot() { # NIGHT STAGE
    photdb plot "$2" -p "$work/$1/$1.photdb" --save "$docs/$1_$2.png"
}
for stage in qc shifts apertures lightcurve; do plot luxembourg "$stage"; done
for stage in references growth lightcurve search; do plot hatp32 "$stage"; done
for stage in field lightcurve noise; do plot demo "$stage"; done

cp "$work/hatp32/hatp32.photdb" "$work/hatp32/detrended.photdb"
(
    export PHOTDB_PROJECT="$work/hatp32/detrended.photdb"
    photdb select check R3
    photdb solve --weighting mean --detrend airmass --baseline 1-40 --baseline 101-142
    photdb plot lightcurve --save "$docs/hatp32_detrended.png"
)

if command -v chromium > /dev/null; then
    photdb report -p "$work/hatp32/hatp32.photdb" "$work/light.html"
    sed 's/prefers-color-scheme:dark/prefers-color-scheme:light/' "$work/light.html" > "$work/dark.html"
    photograph() { # PAGE WIDTH HEIGHT
        chromium --headless --no-sandbox --disable-gpu --no-first-run --hide-scrollbars --user-data-dir="$work/chromium" \
            --window-size="$2,$3" --screenshot="$docs/report_$1.png" "file://$work/$1.html" > "$work/chromium.log" 2>&1
    }
    photograph light 1200 1000
    photograph dark 500 1000
fi

# A README wants small files: few colours are enough for drawings, and fewer pixels for the grain of a sky.
python3 -c '
import sys
from PIL import Image
for name in sys.argv[1:]:
    image, method = Image.open(name).convert("RGB"), Image.Quantize.MEDIANCUT
    if "field" in name:
        image, method = image.resize((720, round(720 * image.height / image.width))), Image.Quantize.FASTOCTREE
    image.quantize(48, method, dither=Image.Dither.NONE).save(name, optimize=True)
' "$docs"/luxembourg_*.png "$docs"/hatp32_*.png "$docs"/demo_*.png "$docs"/report_*.png
ls -l "$docs"
