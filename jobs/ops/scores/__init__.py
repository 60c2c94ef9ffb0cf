"""The parts of `make scores-report`: one module measures one data set, two make the page of it."""
