"""The RegNetY design space on gestures, RegNetX with squeeze-excitation: to be compared with gestures_regnetx."""

from studies.gestures_regnetx import design_space

study = design_space(se=0.25)
