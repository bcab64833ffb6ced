"""Costs of a configuration, and the quality of a network's answers.

`sizes` counts parameters, FLOPs and memory on torch's meta device, without data; `memory` estimates the most that
tensors take at once, and `live` counts what they took. `timing` times a step; `sharing` times several trials on a GPU.
`quality` computes metrics of answers on a labelled split, and `pixels` counts them where each pixel has a class.

The driver asks for all this through `trials.training`. Other modules of `trials` import the modules here.
"""
