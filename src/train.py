"""`python src/train.py RECIPE …` is `foundry train RECIPE …`; torchrun starts it for many processes."""

from foundry.interface.door import open_door

if __name__ == "__main__":
    open_door("train")
