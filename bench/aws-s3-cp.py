"""Uploads by `aws s3 cp` in a process that stays: one task a line, and what it took a line."""

import json
import resource
import sys
import time

from awscli.clidriver import create_clidriver

driver = create_clidriver()
before = None
parts_sent = 0.0


def note_parts_sent(**_):
    global parts_sent
    parts_sent = time.perf_counter()


driver.session.register("before-call.s3.CompleteMultipartUpload", note_parts_sent)
for line in sys.stdin:
    task = json.loads(line)
    with open("/proc/self/statm") as statm:
        before = before or int(statm.read().split()[1]) * resource.getpagesize()
    target = f"s3://{task['bucket']}/{task['key']}"
    cpu, started = time.process_time(), time.perf_counter()
    code = driver.main(["s3", "cp", task["file"], target, "--endpoint-url", task["endpoint"], "--quiet"])
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    if code != 0:
        sys.exit(f"aws s3 cp ended with {code}")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    sent = {"seconds": seconds, "sendingSeconds": parts_sent - started, "cpuSeconds": cpu_seconds, "grownBytes": grown}
    print(json.dumps(sent), flush=True)
