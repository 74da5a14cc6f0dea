// RUN: attune-lsp-server -lit-test < %S/Inputs/lsp-hover.json | FileCheck %s

// The server knows the dialect: hovering over an attune op names it, and valid IR has no diagnostics.

// CHECK: "method": "textDocument/publishDiagnostics"
// CHECK: "diagnostics": []
// CHECK: "value": "\"attune.scan\"
