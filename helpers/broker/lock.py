"""make lock VERSION=…: asks Maven itself which jars a Kafka version needs, and writes down their sha256."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .errors import LabError
from .jars import sha256_of
from .places import LOCKS

# kafka-tools wants connect-runtime (Jetty, Jersey) for two tools that the course does not use.
POM = """<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>kafka-course</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{version}</version>
      <exclusions><exclusion>
        <groupId>org.apache.kafka</groupId><artifactId>connect-runtime</artifactId>
      </exclusion></exclusions>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>{log4j}</version>
    </dependency>
  </dependencies>
</project>
"""
LINE = re.compile(r"^\s+([\w.-]+):([\w.-]+):jar:([\w.-]+):\w+:(\S.*\.jar)", re.MULTILINE)


def make_lock(version):
    """Writes locks/kafka-VERSION.lock and returns its path. Raises LabError without Maven or for no such version."""
    if not shutil.which("mvn"):
        raise LabError("Maven is needed to make a lock.", "there is no mvn on the PATH", "apt-get install maven")
    with tempfile.TemporaryDirectory() as folder:
        listing = _dependencies(version, Path(folder))
    entries = sorted(f"{g}:{a}:{v} {sha256_of(path)}" for g, a, v, path in LINE.findall(listing))
    path = LOCKS / f"kafka-{version}.lock"
    path.write_text("\n".join(entries) + "\n")
    return path


def _dependencies(version, folder):
    log4j = "2.24.3" if version.startswith(("4.0.", "4.1.")) else "2.25.3"  # what that Kafka release ships
    (folder / "pom.xml").write_text(POM.format(version=version, log4j=log4j))
    line = ["mvn", "-q", "-B", "-Dstyle.color=never", "dependency:list", "-DincludeScope=runtime"]
    line += ["-DoutputAbsoluteArtifactFilename=true", f"-DoutputFile={folder / 'list'}"]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = next((row for row in done.stdout.splitlines() if "ERROR" in row), "no error line")
        raise LabError(f"Maven could not resolve Kafka {version}.", said, "name a version that is published completely")
    return re.sub(r"\x1b\[[0-9;]*m", "", (folder / "list").read_text())
