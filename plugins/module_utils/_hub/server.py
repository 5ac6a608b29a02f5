import http.server,sys
http.server.ThreadingHTTPServer(("",8080),http.server.SimpleHTTPRequestHandler).serve_forever()
