"""Training: from images and options to a trained model and its RMSE, with checkpoints to resume from."""

from deconv_ae.training.evaluation import mean_rmse as rmse
from deconv_ae.training.options import TrainingOptions
from deconv_ae.training.run import TrainingResult, steps_per_execution, train

__all__ = ["TrainingOptions", "TrainingResult", "rmse", "steps_per_execution", "train"]
