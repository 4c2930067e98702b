"""Both ends of gRPC by the package grpcio, with bytes for messages: `serve ADDRESS`, or `call ADDRESS METHOD STREAM? [DEADLINE]`."""

import sys
from concurrent import futures

import grpc


class Shop(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == "/shop.v1.Orders/Watch":
            return grpc.stream_stream_rpc_method_handler(lambda messages, _: (b"seen " + m for m in messages))
        return grpc.unary_unary_rpc_method_handler(lambda message, _: b"done " + message)


def serve(address):
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Shop()])
    assert server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


def call(address, method, streams, deadline="10"):
    path = f"/shop.v1.Orders/{method}"
    with grpc.insecure_channel(address) as channel:
        try:
            if streams == "yes":
                for answer in channel.stream_stream(path)(iter([b"one", b"two"]), timeout=float(deadline)):
                    print(answer.decode())
            else:
                print(channel.unary_unary(path)(b"it", timeout=float(deadline)).decode())
        except grpc.RpcError as e:
            print(e.code().name, e.details())


{"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:])
