"""From a recipe's sections and a seed to weights. May not: open validation or test data, or report a score."""
