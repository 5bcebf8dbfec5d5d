"""Look the versions of constraints.txt up among known vulnerabilities, and say if that failed.

pip-audit calls a package that its service does not know skipped, and ends well; where the service
cannot be reached it would so pass everything.
"""

import json
import subprocess
import sys


def main() -> int:
    """Run pip-audit; return 1 if a version has a known vulnerability."""
    words = ["-r", "constraints.txt", "--no-deps", "--disable-pip", "--format", "json"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *words],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        print("audit: NOT DONE, the service did not answer within 300 s")
        return 0
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"audit: NOT DONE, pip-audit failed: {done.stderr.strip()[-300:]}")
        return 0
    vulnerable = [package for package in found if package.get("vulns")]
    for package in vulnerable:
        names = ", ".join(entry["id"] for entry in package["vulns"])
        print(f"audit: {package['name']} {package.get('version')}: {names}")
    skipped = sum("skip_reason" in package for package in found)
    done_of = len(found) - skipped
    if skipped:
        print(f"audit: NOT DONE for {skipped} of {len(found)} packages: the service gave no answer")
    print(f"audit: {done_of} packages looked up, {len(vulnerable)} vulnerable")
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
