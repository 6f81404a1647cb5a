#!/bin/busybox sh
# A browser gets a page, everything else one line of text.
replica=$(/bin/busybox hostname)
case "$HTTP_ACCEPT" in
    *text/html*)
        printf 'Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n\r\n'
        printf '<!doctype html><title>Orchestry demo</title>'
        printf '<body style="font:1.5rem system-ui;display:grid;place-content:center;'
        printf 'min-height:90vh;text-align:center">'
        printf '<p>Hello from replica <b>%s</b></p><p><a href="/">again</a></p>' "$replica" ;;
    *)
        printf 'Content-Type: text/plain\r\n\r\nHello from replica %s\n' "$replica" ;;
esac
