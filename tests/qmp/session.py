# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""session.py SOCKET MDEV: what QEMU's own client makes of adjunct's monitor."""

import asyncio
import sys

from qemu.qmp import ExecuteError, QMPClient


async def refused(client, command, arguments=None):
    try:
        answer = await client.execute(command, arguments)
    except ExecuteError as error:
        return error.error_class, str(error)
    raise AssertionError(f"{command} was not refused: {answer}")


async def main(socket, mdev):
    client = QMPClient("adjunct")
    await client.connect(socket)
    assert client.greeting.QMP.capabilities == []

    # It sends several requests before it has an answer, and finds answers by their ids.
    version, status, cpus = await asyncio.gather(
        client.execute("query-version"),
        client.execute("query-status"),
        client.execute("query-cpus-fast"),
    )
    assert version["package"].startswith("adjunct "), version
    assert status == {"running": True, "status": "running"}, status
    assert [cpu["cpu-index"] for cpu in cpus] == [0, 1], cpus

    with client.listener(("STOP", "RESUME")) as listener:
        await client.execute("stop")
        await client.execute("cont")
        names = [(await listener.get())["event"] for _ in range(2)]
        assert names == ["STOP", "RESUME"], names

    device = {"driver": "vfio-ap", "id": "ap0", "sysfsdev": mdev}
    with client.listener("DEVICE_DELETED") as listener:
        await client.execute("device_add", device)
        assert (await client.execute("x-query-ap"))["device"]["id"] == "ap0"
        await client.execute("device_del", {"id": "ap0"})
        data = (await listener.get())["data"]
        assert data == {"device": "ap0", "path": "/machine/peripheral/ap0"}, data

    assert (await refused(client, "no-such"))[0] == "CommandNotFound"
    assert (await refused(client, "device_del", {"id": "ap0"}))[0] == "DeviceNotFound"
    class_, desc = await refused(client, "device_add")
    assert (class_, desc) == ("GenericError", "Parameter 'driver' is missing"), desc

    model = await client.execute(
        "query-cpu-model-expansion", {"type": "static", "model": {"name": "z14", "props": {"ap": True}}}
    )
    assert model["model"]["name"] == "z14-base" and model["model"]["props"]["ap"] is True, model

    with client.listener("SHUTDOWN") as listener:
        await client.execute("quit")
        assert (await listener.get())["data"] == {"guest": False, "reason": "host-qmp-quit"}
    try:
        await client.disconnect()
    except EOFError:
        pass  # Adjunct was faster.
    print("all as expected")


asyncio.run(main(*sys.argv[1:]))
