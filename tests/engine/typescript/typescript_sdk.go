// Writes the TypeScript SDK of a component package, as `pulumi package gen-sdk --language nodejs` does with Pulumi's
// Node host, which can't be built from a Go module. The code generator is Pulumi's own, of the release in engine/cli:
//
//	cd engine/cli && go run ../../tests/engine/typescript/typescript_sdk.go OUT < SCHEMA
package main

import (
	"encoding/json"
	"log"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi/pkg/v3/codegen/nodejs"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

// The schema refers to no other package, so nothing is ever loaded.
type noLoader struct{ schema.Loader }

func main() {
	var spec schema.PackageSpec
	if err := json.NewDecoder(os.Stdin).Decode(&spec); err != nil {
		log.Fatalf("the schema can't be read: %v", err)
	}
	pkg, err := schema.ImportSpec(spec, map[string]schema.Language{"nodejs": nodejs.Importer}, noLoader{}, schema.ValidationOptions{})
	if err != nil {
		log.Fatalf("the schema can't be used: %v", err)
	}
	files, err := nodejs.GeneratePackage("imaging", pkg, nil, nil, false, nil)
	if err != nil {
		log.Fatalf("the SDK can't be written: %v", err)
	}
	for name, content := range files {
		path := filepath.Join(os.Args[1], name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
