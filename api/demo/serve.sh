#!/bin/busybox sh
# The first process of a container gets no default signal handling: end on SIGTERM ourselves.
trap 'exit 0' TERM INT
/bin/busybox httpd -f -p 8080 -h /www &
wait
