"""What all tests share: deterministic Hypothesis, quiet TensorFlow. Imports neither TensorFlow nor bduo_tf."""

import logging
import os

from hypothesis import HealthCheck, settings

# Before anything imports TensorFlow.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("tensorflow").setLevel(logging.ERROR)
# Larq reports each layer that has an input quantizer but no kernel quantizer.
logging.getLogger("larq.layers_base").setLevel(logging.ERROR)

settings.register_profile("bduo", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bduo")
