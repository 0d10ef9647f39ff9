"""`python -m aigw`: the same command as the `aigw` console script."""

from aigw.cli.main import run

if __name__ == "__main__":
    run()
