"""From a trained model to a verified .tflite file: `python -m convert`. Never imports train."""
