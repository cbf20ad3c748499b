"""MiniStack, with the answer of a $connect route heeded as API Gateway does: its Sec-WebSocket-Protocol is the one that the
handshake answers. Without it, clients that offer a subprotocol close the connection.
https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-connect-route-subprotocol.html
"""

import contextvars

from ministack import app
from ministack.services import apigateway

handle_websocket = apigateway.handle_websocket
invoke_lambda = apigateway._invoke_ws_lambda


async def handle(scope, receive, send, *args, **kwargs):
    async def send_with_protocol(message):
        if message["type"] == "websocket.accept" and "answered_protocol" in scope:
            message = {**message, "subprotocol": scope["answered_protocol"]}
        await send(message)

    token = current_scope.set(scope)
    try:
        await handle_websocket(scope, receive, send_with_protocol, *args, **kwargs)
    finally:
        current_scope.reset(token)


async def invoke(*args, **kwargs):
    answer = await invoke_lambda(*args, **kwargs)
    for name, value in ((answer or {}).get("headers") or {}).items():
        if name.lower() == "sec-websocket-protocol":
            current_scope.get()["answered_protocol"] = value
    return answer


current_scope = contextvars.ContextVar("current_scope")
apigateway.handle_websocket = handle
apigateway._invoke_ws_lambda = invoke
app.main()
