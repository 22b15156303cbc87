"""Measures what the program costs: time and memory of its loop, against baselines.

    make bench                                            # the embedded models
    make bench ARGS="--only loop,batch"                   # some parts
    make bench ARGS="--full-size models"                  # SD-Turbo's size too, with random weights made in models/
    make bench-gpu                                        # true size on a CUDA GPU, into files that can be shared

Every part runs in its own process and writes its rows to the output folder. A part whose rows are there is not measured
again, so a bench that was stopped goes on where it stopped. The sides of a comparison are measured in turn, round by
round, and the ratio is the median over the rounds: other load on the machine then affects both sides.
"""
