import sys

from operations.devservices.console import main

sys.exit(main())
