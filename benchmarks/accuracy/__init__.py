"""Which way to train is the best at equal cost? Many trainings, a row of docs/accuracy.csv for each.

python -m benchmarks.accuracy search --data-dir /usr/share/datasets/fashion-mnist  # rates, on a validation split
python -m benchmarks.accuracy test --data-dir /usr/share/datasets/fashion-mnist    # the best ones, on the test images
python -m benchmarks.accuracy table --split validation                             # what the search found
python -m benchmarks.accuracy table                                                # what the test found, so far
python -m benchmarks.accuracy.cost                                                 # what an accuracy costs on a device

A row has all that determines a training, by the names of the options of `python -m train`, which repeats it:

python -m train vgg7 --dataset fashion_mnist --method duo --seed 0 --width 0.25 --image-size 20x20 ... --run runs/row
"""
