"""Puts the configurations and the sample vocabulary into wheels; setup.cfg says everything else."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("configs/*.yaml", "vocab/sample-uncased-8k.txt*")


class BuildWithShippedFiles(build_py):
    """Builds the package, with the files that `pipeline.shipped` finds."""

    def run(self) -> None:
        """Copies the package, then the files; a checkout that is installed as it is has them already."""
        super().run()
        if self.editable_mode:
            return
        for pattern in SHIPPED:
            for path in sorted(Path().glob(pattern)):
                target = Path(self.build_lib, "pipeline", "shipped", path)
                self.mkpath(str(target.parent))
                self.copy_file(str(path), str(target))


setup(cmdclass={"build_py": BuildWithShippedFiles})
