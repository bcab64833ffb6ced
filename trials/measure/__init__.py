"""Costs of a configuration, and the quality of a network's answers.

`sizes` counts parameters, FLOPs and memory on torch's meta device, without data; `memory` estimates the most that
tensors take at once, and `live` counts what they took. `timing` times a step; `sharing` times several trials on a GPU.
`scores` computes metrics of held-out samples on the device; `pixels` counts the matrix that those of pixels come from.
`quality` computes figures of the test split.

The driver asks for all this through `trials.training`. Other modules of `trials` import the modules here.
"""
