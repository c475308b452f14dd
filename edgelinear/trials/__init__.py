"""Did the wiring matter? Trainings on it and on null models, and what their scores say."""

from edgelinear.trials.report import Contrast, ControlsReport
from edgelinear.trials.run import controls

__all__ = ["Contrast", "ControlsReport", "controls"]
