# mdevctl, as Debian has it: without a callout for vfio_ap it does not know attributes of active devices.
mdevctl types
mdevctl types --dumpjson; echo
mdevctl list
mdevctl list -v
uuid=33333333-3333-3333-3333-333333333333
mdevctl define --uuid $uuid --parent matrix --type vfio_ap-passthrough
mdevctl modify --uuid $uuid --addattr=assign_adapter --value=5
mdevctl modify --uuid $uuid --addattr=assign_domain --value=0xab
mdevctl list -d -v

# The first mdev has 05.00ab.
mdevctl start --uuid $uuid
mdevctl list
ls /sys/devices/vfio_ap/matrix

# 05.0047 is the host's.
mdevctl modify --uuid $uuid --delattr --index 1
mdevctl modify --uuid $uuid --addattr=assign_domain --value=0x47
mdevctl start --uuid $uuid

# No longer.
echo -0x47 >/sys/bus/ap/aqmask
mdevctl start --uuid $uuid
mdevctl start --uuid $uuid
mdevctl list --defined
mdevctl list --uuid $uuid --dumpjson; echo
cat /sys/bus/mdev/devices/$uuid/matrix /sys/bus/mdev/devices/$uuid/guest_matrix
lszcrypt -V 05.0047
cat /etc/mdevctl.d/matrix/$uuid; echo
cat /sys/class/mdev_bus/matrix/mdev_supported_types/vfio_ap-passthrough/available_instances
mdevctl stop --uuid $uuid
mdevctl stop --uuid $uuid
mdevctl undefine --uuid $uuid
mdevctl list -d

# Defined from one that is active.
mdevctl start --uuid $uuid --parent matrix --type vfio_ap-passthrough
mdevctl define --uuid $uuid
mdevctl list -d --dumpjson; echo
mdevctl stop --uuid $uuid
mdevctl define --uuid $uuid --parent matrix --type vfio_ap-passthrough --auto
mdevctl undefine --uuid $uuid

# As udev does it when vfio_ap is loaded.
mdevctl define --uuid $uuid --parent matrix --type vfio_ap-passthrough --auto
mdevctl modify --uuid $uuid --addattr=assign_adapter --value=256
mdevctl start-parent-mdevs matrix 2>&1 | cut -d ' ' -f 2-
mdevctl list
mdevctl modify --uuid $uuid --delattr --index 0
mdevctl start-parent-mdevs matrix
mdevctl list
mdevctl start --uuid 44444444-4444-4444-4444-444444444444 --parent matrix --type vfio_ap-io
mdevctl start --uuid 44444444-4444-4444-4444-444444444444 --parent Matrix --type vfio_ap-passthrough
