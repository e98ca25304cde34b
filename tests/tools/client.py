"""Calls tools with the client of the Python package `mcp`: client.py URL PROGRAM."""
import asyncio
import sys

from mcp import Client, StdioServerParameters

POINTS = [{"x": 1, "y": 2}, {"x": 3, "y": 5}]


async def talk(server):
    told = []

    async def progress(done, total, text):
        told.append(done)

    async with Client(server, read_timeout_seconds=20) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        for prefix in ("", "tools_"):
            if prefix + "centre" in tools:
                break
        centre = await client.call_tool(prefix + "centre", {"points": POINTS})
        assert centre.structured_content == {"x": 2, "y": 3.5}, centre
        shout = await client.call_tool(prefix + "shout", {"text": "abc", "times": 2.0})
        assert shout.content[0].text == "ABCABC", shout
        failed = await client.call_tool(prefix + "test_error_handling", {})
        assert failed.is_error and "intentionally" in failed.content[0].text, failed
        await client.call_tool(prefix + "test_tool_with_progress", {}, progress_callback=progress)
        assert told == [0, 50, 100], told
        return f"{len(tools)} tools, protocol {client.protocol_version}"


async def main(url, program):
    print("HTTP:", await talk(url), end="; ")
    print("stdio:", await talk(StdioServerParameters(command=program, args=["mcp"])))


asyncio.run(main(*sys.argv[1:]))
