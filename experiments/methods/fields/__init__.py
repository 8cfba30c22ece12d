"""Methods that compare gradients of models with respect to their inputs."""
