# mdevctl with ap-check of s390-tools, which refuses before the kernel does.
cp /ap-check /usr/lib/mdevctl/scripts.d/callouts/
uuid=33333333-3333-3333-3333-333333333333
mdevctl list -v
mdevctl define --uuid $uuid --parent matrix --type vfio_ap-passthrough
mdevctl modify --uuid $uuid --addattr=assign_adapter --value=5
mdevctl modify --uuid $uuid --addattr=assign_domain --value=0xab
mdevctl start --uuid $uuid
mdevctl modify --uuid $uuid --delattr --index 1
mdevctl modify --uuid $uuid --addattr=assign_domain --value=0x47
mdevctl start --uuid $uuid
mdevctl list
chzdev --type ap aqmask=-0x47 --active
mdevctl start --uuid $uuid
mdevctl list -v --uuid $uuid
chzdev --type ap aqmask=+0x47 --active
mdevctl stop --uuid $uuid

# Control domains alone.
mdevctl modify --uuid $uuid --delattr --index 1
mdevctl modify --uuid $uuid --delattr --index 0
mdevctl modify --uuid $uuid --addattr=assign_control_domain --value=4
mdevctl start --uuid $uuid
mdevctl undefine --uuid $uuid

# Of devices to be started with the host the definitions are compared, and with the udev rule.
mdevctl define --uuid 11111111-1111-1111-1111-111111111111
mdevctl modify --uuid 11111111-1111-1111-1111-111111111111 --auto
chzdev --type ap aqmask=0-3,5-70,72-170,172-255 --persistent
mdevctl modify --uuid 11111111-1111-1111-1111-111111111111 --auto
mdevctl list -d -v
mdevctl define --uuid $uuid --parent matrix --type vfio_ap-passthrough --auto
mdevctl modify --uuid $uuid --addattr=assign_adapter --value=5
mdevctl modify --uuid $uuid --addattr=assign_domain --value=4
mdevctl modify --uuid $uuid --addattr=assign_domain --value=0xff
mdevctl modify --uuid $uuid --addattr=assign_domain --value=0x47
chzdev --type ap aqmask=+4 --persistent

# A device changed while it is active.
device='"mdev_type":"vfio_ap-passthrough","start":"manual"'
echo "{$device,\"attrs\":[{\"assign_adapter\":\"5\"},{\"assign_domain\":\"4\"}]}" >/tmp/one
mdevctl modify --uuid 11111111-1111-1111-1111-111111111111 --live --jsonfile /tmp/one
mdevctl list -v
echo "{$device,\"attrs\":[{\"assign_adapter\":\"5\"},{\"assign_domain\":\"0x47\"}]}" >/tmp/one
mdevctl modify --uuid 11111111-1111-1111-1111-111111111111 --live --jsonfile /tmp/one
mdevctl list -v
ls /run/lock
