#!/bin/sh
# From a folder of photographs to a verified file and its labels, in commands only.
#
#   sh examples/photographs.sh [FOLDER [OPTION OF python -m train ...]]
#
# FOLDER holds a folder of pictures for each class. Without one, pictures of shapes are drawn. Run it from the checkout,
# after: make setup && . .venv/bin/activate
set -eu
photographs=${1:-runs/photographs/drawn}
[ $# -eq 0 ] || shift

if [ ! -d "$photographs" ]; then
    python -m examples.draw_pictures "$photographs"
fi

# Train coupled, decouple, fine-tune. The same command continues a run that was stopped.
python -m train vgg7 --dataset "folder:$photographs" --run runs/photographs/run --image-size 32 --width 0.5 "$@"

# Convert, and verify on the pictures that were set aside. runs/photographs/run/report.html shows all of it.
python -m convert runs/photographs/run

# What the device answers. On a Raspberry Pi it is the same command: copy the file, a wheel of `make wheels` and pictures.
find "$photographs" -type f | sort | head -n 3 | while read -r picture; do
    python -m bduo_runtime run runs/photographs/run/model.tflite "$picture" --top 1
done
