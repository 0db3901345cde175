# chzcrypt: cards and queues online and offline, and what the bus can be told.
for card in /sys/devices/ap/card*; do echo 0 >$card/request_count; done
chzcrypt -V -d 5
lszcrypt
chzcrypt -V -e 05.0047
cat /sys/devices/ap/card05/online /sys/devices/ap/card05/05.0047/online
chzcrypt -V -e 5
cat /sys/devices/ap/card05/online /sys/devices/ap/card05/05.0047/online
chzcrypt -V -d 06.00ff
lszcrypt 6
chzcrypt -V -e 06.00ff
chzcrypt -V -d 05.0004
chzcrypt -V -d 7
chzcrypt -a -d
lszcrypt
chzcrypt -a -e
lszcrypt
chzcrypt -V --config-on 5
chzcrypt -V --config-on 05.0047
chzcrypt -V -t 300000
cat /sys/bus/ap/poll_timeout
chzcrypt -V -t 120000000001
chzcrypt -V -p
chzcrypt -V -n
chzcrypt -V -c 20
chzcrypt -V -c 4
chzcrypt -V -c 121
chzcrypt -V -q 0x47
lszcrypt -b
chzcrypt -V -q 5
lszcrypt -d | tail -1
chzcrypt -V -q 256
chzcrypt -t 250000
chzcrypt -c 30
chzcrypt -V --se-bind 05.0047
chzcrypt -V --se-associate 1 05.0047
chzcrypt
chzcrypt -e
