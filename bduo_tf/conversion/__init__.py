"""From a trained model to a verified .tflite file for binary kernels. Knows nothing of training."""
