"""What the bench costs, measured: time and memory of its loop against what they could be.

    make bench                                            # the embedded models
    make bench ARGS="--only loop,batch"                   # some parts
    make bench ARGS="--full-size models"                  # SD-Turbo's size too, with random weights made in models/
    make bench-gpu                                        # true size on a CUDA GPU, into a file made to be shared

Every part runs in a process of its own and leaves its rows in the output folder; parts that are there already are kept,
so a bench that was stopped goes on where it stopped. What is compared is measured in turn, round by round, and the
ratio is the median over the rounds: what else the machine does then hits both sides.
"""
